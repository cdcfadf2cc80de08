from iotsphere.kernel.errors import TooManyRequestsError


class RateLimitedError(TooManyRequestsError):
    code = "throttling.requests.exceeded"


class GuessesExceededError(TooManyRequestsError):
    code = "throttling.guesses.exceeded"
