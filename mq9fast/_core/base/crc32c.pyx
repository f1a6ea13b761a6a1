"""CRC-32C; crc32c.pxd says who uses it."""

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    #define CRC32C_POLYNOMIAL 0x82F63B78u

    static uint32_t crc32c_table[8][256];

    static void crc32c_prepare_table(void) {
        for (uint32_t n = 0; n < 256; n++) {
            uint32_t crc = n;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc >> 1) ^ (CRC32C_POLYNOMIAL & (0u - (crc & 1)));
            crc32c_table[0][n] = crc;
        }
        for (uint32_t n = 0; n < 256; n++)
            for (int k = 1; k < 8; k++) {
                uint32_t crc = crc32c_table[k - 1][n];
                crc32c_table[k][n] = (crc >> 8) ^ crc32c_table[0][crc & 255];
            }
    }

    static uint32_t crc32c_table_update(uint32_t crc, const unsigned char* at, size_t size) {
        for (; size >= 8; at += 8, size -= 8) {
            uint32_t low;
            memcpy(&low, at, 4);
            low ^= crc;
            crc = crc32c_table[7][low & 255] ^ crc32c_table[6][(low >> 8) & 255]
                ^ crc32c_table[5][(low >> 16) & 255] ^ crc32c_table[4][low >> 24]
                ^ crc32c_table[3][at[4]] ^ crc32c_table[2][at[5]]
                ^ crc32c_table[1][at[6]] ^ crc32c_table[0][at[7]];
        }
        for (; size > 0; at++, size--)
            crc = (crc >> 8) ^ crc32c_table[0][(crc ^ *at) & 255];
        return crc;
    }

    #if defined(__GNUC__) && defined(__x86_64__)
    #define CRC32C_INSTRUCTION 1
    #ifdef __clang__  /* to clang the CRC instructions are a feature of their own */
        #define CRC32C_TARGET __attribute__((target("sse4.2,crc32")))
    #else
        #define CRC32C_TARGET __attribute__((target("sse4.2")))
    #endif
    #define crc32c_step8(crc, word) ((uint32_t)__builtin_ia32_crc32di(crc, word))
    #define crc32c_step1(crc, byte) __builtin_ia32_crc32qi(crc, byte)
    static int crc32c_has_instruction(void) { return __builtin_cpu_supports("sse4.2") != 0; }
    #elif defined(__GNUC__) && defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    #include <arm_acle.h>
    #define CRC32C_INSTRUCTION 1
    #define CRC32C_TARGET
    #define crc32c_step8(crc, word) __crc32cd(crc, word)
    #define crc32c_step1(crc, byte) __crc32cb(crc, byte)
    static int crc32c_has_instruction(void) { return 1; }
    #else
    #define CRC32C_INSTRUCTION 0
    static int crc32c_has_instruction(void) { return 0; }
    #endif

    #if CRC32C_INSTRUCTION
    /* Bytes of each of three neighbouring streams, for long and for short data. */
    #define CRC32C_LONG 2048
    #define CRC32C_SHORT 256
    static uint32_t crc32c_long_shift[4][256], crc32c_short_shift[4][256];

    /* A CRC is linear: the effect of `size` zero bytes on each byte of it is looked up. */
    static void crc32c_prepare_shift(uint32_t shift[4][256], size_t size) {
        uint32_t basis[32];
        for (int bit = 0; bit < 32; bit++) {
            uint32_t crc = 1u << bit;
            for (size_t i = 0; i < size; i++)
                crc = (crc >> 8) ^ crc32c_table[0][crc & 255];
            basis[bit] = crc;
        }
        for (int byte = 0; byte < 4; byte++)
            for (uint32_t n = 0; n < 256; n++) {
                uint32_t sum = 0;
                for (int bit = 0; bit < 8; bit++)
                    if (n >> bit & 1) sum ^= basis[8 * byte + bit];
                shift[byte][n] = sum;
            }
    }

    static inline uint32_t crc32c_shifted(uint32_t shift[4][256], uint32_t crc) {
        return shift[0][crc & 255] ^ shift[1][crc >> 8 & 255] ^ shift[2][crc >> 16 & 255]
            ^ shift[3][crc >> 24];
    }

    CRC32C_TARGET
    static inline uint32_t crc32c_three(
        uint32_t crc, const unsigned char* at, size_t stream, uint32_t shift[4][256]
    ) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < stream; i += 8) {
            uint64_t a, b, c;
            memcpy(&a, at + i, 8);
            memcpy(&b, at + stream + i, 8);
            memcpy(&c, at + 2 * stream + i, 8);
            crc = crc32c_step8(crc, a);
            second = crc32c_step8(second, b);
            third = crc32c_step8(third, c);
        }
        crc = crc32c_shifted(shift, crc) ^ second;
        return crc32c_shifted(shift, crc) ^ third;
    }

    CRC32C_TARGET
    static uint32_t crc32c_instruction_update(uint32_t crc, const unsigned char* at, size_t size) {
        for (; size >= 3 * CRC32C_LONG; at += 3 * CRC32C_LONG, size -= 3 * CRC32C_LONG)
            crc = crc32c_three(crc, at, CRC32C_LONG, crc32c_long_shift);
        for (; size >= 3 * CRC32C_SHORT; at += 3 * CRC32C_SHORT, size -= 3 * CRC32C_SHORT)
            crc = crc32c_three(crc, at, CRC32C_SHORT, crc32c_short_shift);
        for (; size >= 8; at += 8, size -= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            crc = crc32c_step8(crc, word);
        }
        for (; size > 0; at++, size--)
            crc = crc32c_step1(crc, *at);
        return crc;
    }
    #else
    #define crc32c_instruction_update crc32c_table_update
    #endif

    static void crc32c_prepare(void) {
        crc32c_prepare_table();
    #if CRC32C_INSTRUCTION
        crc32c_prepare_shift(crc32c_long_shift, CRC32C_LONG);
        crc32c_prepare_shift(crc32c_short_shift, CRC32C_SHORT);
    #endif
    }
    """
    void crc32c_prepare() noexcept nogil
    uint32_t crc32c_table_update(uint32_t crc, const unsigned char* at, size_t size) noexcept nogil
    uint32_t crc32c_instruction_update(uint32_t crc, const unsigned char* at, size_t size) noexcept nogil
    bint crc32c_has_instruction() noexcept nogil

crc32c_prepare()
cdef bint use_instruction = crc32c_has_instruction()


cdef uint32_t crc32c(const char* at, Py_ssize_t size) noexcept nogil:
    """The CRC-32C of `size` bytes."""
    if use_instruction:
        return ~crc32c_instruction_update(<uint32_t>0xFFFFFFFF, <const unsigned char*>at, <size_t>size)
    return crc32c_by_table(at, size)


cdef uint32_t crc32c_by_table(const char* at, Py_ssize_t size) noexcept nogil:
    """The same without the processor's instruction for it."""
    return ~crc32c_table_update(<uint32_t>0xFFFFFFFF, <const unsigned char*>at, <size_t>size)
