"""What is said of a competition's files that are not as they should be."""


class MissingData(ValueError):
    """The competition's files are not there, or not where its layout has them."""


class WrongSubmission(ValueError):
    """A submission that the competition would not accept."""


class WrongTable(ValueError):
    """A file that is not the table that it should be: names it, and says what to do."""
