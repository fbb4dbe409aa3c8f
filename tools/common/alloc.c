/* alloc.c - memory for programs. Running out ends the program; a library could not do that. */
#include "common/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *tool_alloc(const char *what, size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > (size_t)INT64_MAX) {
        fprintf(stderr, "%s: %zu x %zu bytes do not fit\n", what, count, size);
        exit(3);
    }
    block = calloc(1, bytes == 0 ? 1 : bytes);
    if (block == NULL) {
        fprintf(stderr, "%s: out of memory, %zu bytes wanted\n", what, bytes);
        exit(3);
    }
    return block;
}

char *tool_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tool_alloc("a text", bytes, 1);

    memcpy(copy, text, bytes);
    return copy;
}
