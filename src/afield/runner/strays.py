"""Children of a keeper that carry no mark of ours: to which adopted attempt may they belong? Pure bookkeeping.

A daemon with an emptied environment tells nothing. It came to the keeper because some shepherd was killed, or because
the program of an adopted attempt left it. Where that can be several attempts, it is ended with the last of them: never
while a living attempt may still be its own.
"""


class Strays:
    """Identities of such children, each with the attempts that it may belong to."""

    def __init__(self):
        self._owners = {}

    def fresh(self, rows):
        """Those of these children that are not known yet."""
        return [row for row in rows if row.identity not in self._owners]

    def note(self, rows, attempts):
        """These children were found now and can only be of these attempts; who is known already stays as it is."""
        for row in rows:
            self._owners.setdefault(row.identity, frozenset(attempts))

    def keep(self, identities):
        """Forgets all others: they are gone."""
        self._owners = {identity: owners for identity, owners in self._owners.items() if identity in identities}

    def of(self, attempt, living):
        """The strays that, of all living attempts, can only belong to this one."""
        return {identity for identity, owners in self._owners.items() if owners & living == {attempt}}
