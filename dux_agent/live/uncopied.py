"""What has one life only: an agent is not copied or pickled."""

from typing import Any, NoReturn

from dux_sandbox.dry_runs.scratch import made_for_a_trial


class Uncopied:
    """Stays the same in a dry run's copy of the module that holds it."""

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        """Itself in a copy for a dry run; None in any other copy of what holds it.

        A module may keep its agent, and the copy that an average of weights is made of
        has none.

        Raises:
            TypeError: it is itself to be copied.
        """
        if made_for_a_trial(memo):
            return self
        return None if memo else self.__getstate__()

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"an object of {type(self).__name__} was to be pickled or copied; its rule "
            f"may live in another process; take its state_dict() instead, and leave it "
            f"out in the __getstate__ of what keeps it; its optimizer may stay in."
        )
