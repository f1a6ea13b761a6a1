"""Assertions of the debug build (`make debug`). A release has neither the conditions nor the sentences.

    check(0 <= slot < self.size, b"an item of a heap is in one of its slots")

A condition that does not hold ends the process: the sentence, its file and line and the Python traceback go
to stderr. `check` is a macro of C and not Cython's `assert`, for three reasons. Most of what is checked is in
`noexcept` code, where an exception is printed and then ignored. Nothing runs on with memory that is not what
it is taken for. A release keeps nothing of it, not even an exception's way out of the function.

A release does not evaluate the condition, which must have no effects. Cython calls functions before the
macro: a check that calls one, or that takes more than an expression, stands below `if CHECKED:`.
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
