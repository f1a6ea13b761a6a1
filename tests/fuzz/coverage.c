// Counts how often each edge of the sanitized core is taken, and tells whether an input takes a new path.
// The core is compiled with -fsanitize-coverage=trace-pc: it calls __sanitizer_cov_trace_pc at each branch.
// This library is compiled without that, and preloaded.

#include <stdint.h>
#include <string.h>

#define EDGES (1 << 18)

static uint8_t counts[EDGES];
// A bit for each class of counts that an edge had: 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128 and more.
static uint8_t seen[EDGES];
static __thread uint64_t before;

void __sanitizer_cov_trace_pc(void) {
    uint64_t here = (uint64_t)__builtin_return_address(0) * 0x9E3779B97F4A7C15u;
    uint64_t edge = (here ^ before) >> 46;
    if (counts[edge] != UINT8_MAX) counts[edge]++;
    before = here >> 1;
}

static uint8_t class_of(uint8_t count) {
    if (count <= 3) return (uint8_t)(1 << (count - 1));
    if (count <= 7) return 8;
    if (count <= 15) return 16;
    if (count <= 31) return 32;
    return count <= 127 ? 64 : 128;
}

void coverage_begin(void) {
    memset(counts, 0, EDGES);
    before = 0;
}

// How many edges were taken since coverage_begin for the first time, or more often than ever.
int coverage_end(void) {
    int fresh = 0;
    for (size_t at = 0; at < EDGES; at += sizeof(uint64_t)) {
        uint64_t eight;
        memcpy(&eight, counts + at, sizeof eight);
        if (eight == 0) continue;
        for (size_t edge = at; edge < at + sizeof eight; edge++) {
            if (counts[edge] == 0) continue;
            uint8_t class = class_of(counts[edge]);
            if (seen[edge] & class) continue;
            seen[edge] |= class;
            fresh++;
        }
    }
    return fresh;
}

int coverage_edges(void) {
    int edges = 0;
    for (size_t edge = 0; edge < EDGES; edge++) edges += seen[edge] != 0;
    return edges;
}
