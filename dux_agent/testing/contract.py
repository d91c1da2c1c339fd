"""What all contracts share: the test case itself is none of the tests."""

import unittest
from typing import Any, ClassVar


class ContractTestCase(unittest.TestCase):
    """A contract; what inherits it is tests, unless it says `__test__ = False`.

    Attributes:
        nothing_to_try: of a contract, why it is skipped where it is loaded itself.
    """

    __test__ = False
    nothing_to_try: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__test__ = cls.__dict__.get("__test__", True)

    @classmethod
    def setUpClass(cls) -> None:
        said = cls.__dict__.get("nothing_to_try")
        if said:
            raise unittest.SkipTest(said)
