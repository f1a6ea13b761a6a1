"""Allocations by Python's allocator. The debug build counts the blocks: see testing/debug_build.pyx."""

cdef extern from *:
    """
    #ifndef MQ9FAST_MEMORY
    #define MQ9FAST_MEMORY
    #ifdef CYTHON_WITHOUT_ASSERTIONS
    #define mq9fast_malloc PyMem_Malloc
    #define mq9fast_calloc PyMem_Calloc
    #define mq9fast_realloc PyMem_Realloc
    #define mq9fast_free PyMem_Free
    #else
    /* Modules share no symbols: each finds its count by its name, at its first block. */
    static CYTHON_UNUSED void mq9fast_count_blocks(const char *module, Py_ssize_t change) {
        static Py_ssize_t *count = NULL;
        if (count == NULL) {
            PyObject *counts = PyImport_ImportModule("mq9fast._core.testing.debug_build");
            PyObject *address = counts ? PyObject_CallMethod(counts, "_count_of_blocks", "s", module) : NULL;
            if (address == NULL || (count = (Py_ssize_t *)PyLong_AsVoidPtr(address)) == NULL)
                Py_FatalError("the blocks of a module cannot be counted");
            Py_DECREF(address);
            Py_DECREF(counts);
        }
        *count += change;
    }
    static CYTHON_UNUSED void *mq9fast_malloc_in(const char *module, size_t size) {
        void *block = PyMem_Malloc(size);
        mq9fast_count_blocks(module, block != NULL);
        return block;
    }
    static CYTHON_UNUSED void *mq9fast_calloc_in(const char *module, size_t count, size_t size) {
        void *block = PyMem_Calloc(count, size);
        mq9fast_count_blocks(module, block != NULL);
        return block;
    }
    static CYTHON_UNUSED void *mq9fast_realloc_in(const char *module, void *old, size_t size) {
        void *block = PyMem_Realloc(old, size);
        mq9fast_count_blocks(module, old == NULL && block != NULL);
        return block;
    }
    static CYTHON_UNUSED void mq9fast_free_in(const char *module, void *block) {
        if (block != NULL)
            mq9fast_count_blocks(module, -1);
        PyMem_Free(block);
    }
    #define mq9fast_malloc(size) mq9fast_malloc_in(__Pyx_MODULE_NAME, size)
    #define mq9fast_calloc(count, size) mq9fast_calloc_in(__Pyx_MODULE_NAME, count, size)
    #define mq9fast_realloc(block, size) mq9fast_realloc_in(__Pyx_MODULE_NAME, block, size)
    #define mq9fast_free(block) mq9fast_free_in(__Pyx_MODULE_NAME, block)
    #endif
    #endif
    """
    void* PyMem_Malloc "mq9fast_malloc"(size_t size) noexcept
    void* PyMem_Calloc "mq9fast_calloc"(size_t count, size_t size) noexcept
    void* PyMem_Realloc "mq9fast_realloc"(void* block, size_t size) noexcept
    void PyMem_Free "mq9fast_free"(void* block) noexcept
