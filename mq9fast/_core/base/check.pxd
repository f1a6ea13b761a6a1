"""Assertions of the debug build (`make debug`), for all of the core. A release build has none of them.

    check(0 <= slot < self.size, b"an item of a heap is in one of its slots")

A failed assertion ends the process and writes the sentence, its file and line, and the Python traceback to
stderr. `check` is a C macro and not Cython's `assert`, for three reasons. Most checks are in `noexcept` code,
where an exception would be printed and ignored. The process must not continue with corrupt memory. And a
release build has no code for a check, not even the path of an exception.

A release build does not evaluate the condition, so it must have no side effects. Cython calls functions
before the macro: a check that calls a function, or needs more than an expression, must be below
`if CHECKED:`.
"""

cdef extern from *:
    """
    #ifndef MQ9FAST_CHECKED
    #ifdef CYTHON_WITHOUT_ASSERTIONS
    #define MQ9FAST_CHECKED 0
    #define mq9fast_check(condition, sentence) ((void)sizeof(condition), (void)sizeof(sentence))
    #else
    #define MQ9FAST_CHECKED 1
    #define mq9fast_check(condition, sentence) \\
        ((condition) ? (void)0 : mq9fast_check_failed(sentence, __FILE__, __LINE__))
    static CYTHON_UNUSED void mq9fast_check_failed(const char *sentence, const char *file, int line) {
        fprintf(stderr, "%s:%d: check failed: %s\\n", file, line, sentence);
        Py_FatalError("an assertion of the core does not hold");
    }
    #endif
    #endif
    """
    const bint CHECKED "MQ9FAST_CHECKED"
    void check "mq9fast_check"(bint condition, const char* sentence) noexcept nogil
