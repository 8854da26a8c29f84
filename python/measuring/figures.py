"""Rounds, figures, targets."""

import statistics
import sys

WARM_UP_S_MAX = 1.0


def warm_up(seconds):
    """Seconds that do not count, before those that do."""
    return min(WARM_UP_S_MAX, seconds)


def in_turns(options, kinds):
    """What each kind gives, round by round; each round begins with the next one."""
    measured = {kind: [] for kind in kinds}
    names = list(kinds)
    for turn in range(options.rounds):
        first = turn % len(names)
        for kind in names[first:] + names[:first]:
            print(f"  round {turn + 1}/{options.rounds}: {kind}", file=sys.stderr, flush=True)
            measured[kind].append(kinds[kind]())
    return measured


def best_of_rounds(rates, begins):
    """The best of the kinds whose names begin so, round by round."""
    return [max(each) for each in zip(*(rounds for kind, rounds in rates.items() if kind.startswith(begins)))]


def ratios(ours, theirs):
    return [one / other for one, other in zip(ours, theirs)]


def tell(what, values, unit, more=""):
    middle = statistics.median(values)
    print(f"  {what:48} {middle:10.4g} {unit} ({min(values):.4g} to {max(values):.4g}) {more}".rstrip())


def target(what, values, word, bound):
    middle = statistics.median(values)
    met = middle >= bound if word == ">=" else middle <= bound
    print(f"  {what:48} {middle:10.4g} ({min(values):.4g} to {max(values):.4g}), target {word} {bound}: {'met' if met else 'MISSED'}")
    return {"what": what, "median": middle, "min": min(values), "max": max(values), "target": f"{word} {bound}", "met": met}
