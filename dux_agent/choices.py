"""The values of those arguments of `attach` that are one of a few words."""

CHOICES: dict[str, tuple[str, ...]] = {
    "accept": ("harmless", "finite", "not_worse"),
    "execution": ("auto", "isolated", "inline"),
    "lr_owner": ("proposal", "scheduler"),
    "history": ("chat", "compressed"),
    "vocabulary": ("short", "full"),
    "carry_over": ("asked", "always", "never"),
    "snapshots": ("device", "host", "off"),
}
