"""Durations in headers; the contract is in duration.pxd."""

from libc.stdint cimport uint64_t

from mq9fast._core.base.view cimport View, slice_from, starts_with, view

# The longest duration: 100 years.
MAX_SECONDS = 100 * 366 * 86400


cdef struct Unit "mq9fast_duration_unit":
    View name
    uint64_t ns


cdef extern from *:
    """
    #define MQ9FAST_UNIT(name, ns) {{"" name, sizeof(name) - 1}, ns}
    /* The first one that fits counts. Both ways to write a micro sign are allowed. */
    #define MQ9FAST_DURATION_UNITS ((const struct mq9fast_duration_unit[]){ \\
        MQ9FAST_UNIT("ns", 1ull), \\
        MQ9FAST_UNIT("us", 1000ull), \\
        MQ9FAST_UNIT("\\302\\265s", 1000ull), \\
        MQ9FAST_UNIT("\\316\\274s", 1000ull), \\
        MQ9FAST_UNIT("ms", 1000000ull), \\
        MQ9FAST_UNIT("s", 1000000000ull), \\
        MQ9FAST_UNIT("m", 60000000000ull), \\
        MQ9FAST_UNIT("h", 3600000000000ull), \\
        MQ9FAST_UNIT("", 1000000000ull)})
    #define MQ9FAST_MAX_DURATION_NS 3162240000000000000ull    /* MAX_SECONDS */
    """
    const Unit* UNITS "MQ9FAST_DURATION_UNITS"
    const uint64_t MAX_NS "MQ9FAST_MAX_DURATION_NS"


cdef View digits_of(View text) noexcept:
    """The digits at the beginning of a text."""
    cdef Py_ssize_t i = 0
    while i < text.size and c'0' <= text.data[i] <= c'9':
        i += 1
    return view(text.data, i)


cdef bint add_whole(View digits, uint64_t unit_ns, uint64_t* total_ns) noexcept:
    """Add so many units to the total. False past MAX_NS."""
    cdef uint64_t number = 0
    cdef uint64_t most = MAX_NS // unit_ns
    cdef Py_ssize_t i
    for i in range(digits.size):
        if number > most // 10:
            return False
        number = number * 10 + <uint64_t>(digits.data[i] - c'0')
    if number > most:
        return False
    total_ns[0] += number * unit_ns
    return total_ns[0] <= MAX_NS


cdef bint add_fraction(View digits, uint64_t unit_ns, uint64_t* total_ns) noexcept:
    """Add the digits behind a point to the total, rounded down. Returns whether something was lost."""
    cdef uint64_t part = 0
    cdef bint lost = False
    cdef Py_ssize_t i
    for i in range(digits.size - 1, -1, -1):
        part += <uint64_t>(digits.data[i] - c'0') * unit_ns
        lost = lost or part % 10 != 0
        part //= 10
    total_ns[0] += part
    return lost


cdef bint read_duration(View text, uint64_t* milliseconds) noexcept:
    """Read a duration, rounded up to a millisecond. False if the text is none, or if it is too long."""
    cdef View whole, fraction
    cdef const Unit* unit
    cdef uint64_t total_ns = 0
    cdef bint lost = False
    cdef bint is_first = True
    while is_first or text.size:
        whole = digits_of(text)
        text = slice_from(text, whole.size)
        fraction = view(text.data, 0)
        if text.size and text.data[0] == c'.':
            fraction = digits_of(slice_from(text, 1))
            text = slice_from(text, 1 + fraction.size)
        if whole.size + fraction.size == 0:
            return False
        unit = UNITS
        while not starts_with(text, unit.name):
            unit += 1
        # Only a number of seconds, which is the whole text, has no unit.
        if unit.name.size == 0 and not (is_first and text.size == 0):
            return False
        text = slice_from(text, unit.name.size)
        if not add_whole(whole, unit.ns, &total_ns):
            return False
        if add_fraction(fraction, unit.ns, &total_ns):
            lost = True
        is_first = False
    if total_ns + lost > MAX_NS:
        return False
    milliseconds[0] = (total_ns + lost + 999_999) // 1_000_000
    return True
