"""Times in headers; the contract is in rfc3339.pxd."""

from libc.stdint cimport int64_t

from mq9fast._core.base.view cimport View, slice_from

cdef enum:
    DATE_AND_TIME_BYTES = 19        # 2026-01-31T12:00:00
    OFFSET_BYTES = 6                # +01:00


cdef int digits(const char* at, int count) noexcept:
    """The number of so many digits, or -1."""
    cdef int number = 0
    cdef int i
    for i in range(count):
        if not c'0' <= at[i] <= c'9':
            return -1
        number = number * 10 + (at[i] - c'0')
    return number


cdef int days_in(int year, int month) noexcept:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef int64_t days_before(int year, int month) noexcept:
    """The days from 1970-01-01 to the first of a month in the years 0 to 9999."""
    # Of a calendar whose years begin in March, so that the leap day is the last.
    cdef int64_t y = year - (1 if month <= 2 else 0)
    cdef int64_t m = (month + 9) % 12
    return 365 * y + (y + 400) // 4 - (y + 400) // 100 + (y + 400) // 400 + (153 * m + 2) // 5 - 719565


cdef bint read_offset(View text, int64_t* seconds) noexcept:
    """Read what follows the time: `Z`, or hours and minutes ahead of UTC."""
    cdef int hours, minutes
    seconds[0] = 0
    if text.size == 1:
        return text.data[0] == c'Z' or text.data[0] == c'z'
    if text.size != OFFSET_BYTES or text.data[3] != c':':
        return False
    hours, minutes = digits(text.data + 1, 2), digits(text.data + 4, 2)
    seconds[0] = hours * 3600 + minutes * 60
    if text.data[0] == c'-':
        seconds[0] = -seconds[0]
    elif text.data[0] != c'+':
        return False
    return 0 <= hours <= 23 and 0 <= minutes <= 59


cdef View read_fraction(View text, int64_t* milliseconds) noexcept:
    """Read a fraction of a second, rounded up, if there is one. Returns the rest."""
    cdef int64_t unit = 100
    cdef bint more = False
    cdef Py_ssize_t i = 1
    milliseconds[0] = 0
    if text.size < 2 or text.data[0] != c'.':
        return text
    while i < text.size and c'0' <= text.data[i] <= c'9':
        milliseconds[0] += (text.data[i] - c'0') * unit
        more = more or unit == 0 and text.data[i] != c'0'
        unit //= 10
        i += 1
    milliseconds[0] += more
    return text if i == 1 else slice_from(text, i)


cdef bint read_rfc3339(View text, int64_t* unix_ms) noexcept:
    """Read a time, in Unix milliseconds, rounded up. False if the text is none."""
    cdef const char* at = text.data
    cdef int year, month, day, hour, minute, second
    cdef int64_t milliseconds = 0
    cdef int64_t offset = 0
    if text.size <= DATE_AND_TIME_BYTES or at[4] != c'-' or at[7] != c'-' or at[13] != c':' or at[16] != c':':
        return False
    if at[10] != c'T' and at[10] != c't':
        return False
    year, month, day = digits(at, 4), digits(at + 5, 2), digits(at + 8, 2)
    hour, minute, second = digits(at + 11, 2), digits(at + 14, 2), digits(at + 17, 2)
    if year < 0 or not 1 <= month <= 12 or not 1 <= day <= days_in(year, month):
        return False
    # 60 is a leap second.
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
        return False
    text = read_fraction(slice_from(text, DATE_AND_TIME_BYTES), &milliseconds)
    if not read_offset(text, &offset):
        return False
    unix_ms[0] = days_before(year, month) + day - 1
    unix_ms[0] = ((unix_ms[0] * 24 + hour) * 60 + minute) * 60 + second - offset
    unix_ms[0] = unix_ms[0] * 1000 + milliseconds
    return True
