"""What a client does that is asked to come again: it comes again."""

import time

import httpx

REPETITIONS = 10


class PatientTransport(httpx.HTTPTransport):
    """Sends again what was answered with 503 and told when: a busy machine has busy stores."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(REPETITIONS):
            answer = super().handle_request(request)
            # What is made while it is sent is gone.
            if not is_asked_again(answer) or not isinstance(request.stream, httpx.ByteStream):
                return answer
            answer.close()
            time.sleep(float(answer.headers["Retry-After"]))
        return super().handle_request(request)


def is_asked_again(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in answer.headers


def patient_client(base_url: str) -> httpx.Client:
    return httpx.Client(base_url=base_url, transport=PatientTransport(), trust_env=False, timeout=30)
