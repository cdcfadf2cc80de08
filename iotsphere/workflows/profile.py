"""What users change of themselves; the throttle stands before the password that they have to show for it."""

from iotsphere.identity.accounts import AccountService
from iotsphere.identity.model import PasswordChange, User
from iotsphere.kernel.audit import Attempt
from iotsphere.throttling.service import Throttle


class ProfileWorkflow:
    def __init__(self, *, accounts: AccountService, throttle: Throttle) -> None:
        self._accounts = accounts
        self._throttle = throttle

    async def change_me(
        self,
        *,
        attempt: Attempt,
        expected_version: int | None,
        name: str | None = None,
        password: PasswordChange | None = None,
    ) -> User:
        """Change the user who asks; a new password ends all their sessions but the present one.

        :raises UserRequiredError: it is a key that asks.
        :raises PasswordWrongError: the old password is not the present one.
        :raises GuessesExceededError: too many old passwords were wrong, of this account or from where it comes.
        :raises PasswordUnfitError: the new password is the old one, or the user's address.
        :raises PreconditionFailedError: the user has another version than expected.
        """
        user = await self._accounts.get_me(actor=attempt.caller)
        if password is not None:
            async with self._throttle.guessing(account=user.email, address=attempt.address):
                await self._accounts.check_password(user=user, password=password.old)
        return await self._accounts.change_me(
            attempt=attempt, known=user, expected_version=expected_version, name=name, password=password
        )
