"""The numbers of a problem. Every result stays below a thousand, and positive but for `two_numbers`."""

from random import Random


def pair(rng: Random) -> tuple[int, ...]:
    """Two different numbers of two digits, the larger first."""
    return tuple(sorted(rng.sample(range(11, 100), 2), reverse=True))


def two_numbers(rng: Random) -> tuple[int, ...]:
    """Two different numbers of two digits in any order."""
    return tuple(rng.sample(range(11, 100), 2))


def factors(rng: Random) -> tuple[int, ...]:
    """A small number of groups and their size."""
    return rng.randint(2, 9), rng.randint(11, 40)


def triple(rng: Random) -> tuple[int, ...]:
    """A number of two digits and two smaller ones whose sum it exceeds."""
    return rng.randint(61, 99), rng.randint(11, 30), rng.randint(11, 30)


def packs(rng: Random) -> tuple[int, ...]:
    """Groups, their size, and a number smaller than the product."""
    return rng.randint(3, 9), rng.randint(11, 20), rng.randint(11, 30)


def start_and_packs(rng: Random) -> tuple[int, ...]:
    """A number of two digits, groups and their size."""
    return rng.randint(11, 99), rng.randint(2, 9), rng.randint(11, 20)


def quadruple(rng: Random) -> tuple[int, ...]:
    """A number of two digits and three smaller ones whose sum it exceeds."""
    return rng.randint(71, 99), rng.randint(11, 22), rng.randint(11, 22), rng.randint(11, 22)


def packs_and_two(rng: Random) -> tuple[int, ...]:
    """Groups, their size, and two numbers that together are smaller than the product."""
    return rng.randint(4, 9), rng.randint(11, 20), rng.randint(11, 20), rng.randint(11, 20)


def division(rng: Random) -> tuple[int, ...]:
    """A number and a smaller divisor that leaves a rest."""
    divisor, quotient = rng.randint(4, 9), rng.randint(3, 15)
    return divisor * quotient + rng.randint(1, divisor - 1), divisor


def shares(rng: Random) -> tuple[int, ...]:
    """A number and a divisor of it."""
    divisor = rng.randint(3, 9)
    return divisor * rng.randint(4, 30), divisor


def few(rng: Random) -> tuple[int, ...]:
    """Three or four different numbers of two digits."""
    return tuple(rng.sample(range(11, 100), rng.randint(3, 4)))


def two_days(rng: Random) -> tuple[int, ...]:
    """Two days of a month, the earlier first, at least two days apart."""
    early = rng.randint(1, 20)
    return early, rng.randint(early + 2, 28)


def day_and_before(rng: Random) -> tuple[int, ...]:
    """A day of a month and a number of days that stays in it when counted back."""
    early, late = two_days(rng)
    return late, late - early


def day_and_after(rng: Random) -> tuple[int, ...]:
    """A day of a month and a number of days that stays in it when counted on."""
    early, late = two_days(rng)
    return early, late - early


def day_and_weeks(rng: Random) -> tuple[int, ...]:
    """A day of a month and a number of weeks that stays in it when counted on."""
    weeks = rng.randint(2, 3)
    return rng.randint(1, 28 - 7 * weeks), weeks
