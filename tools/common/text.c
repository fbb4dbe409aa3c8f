/* text.c - cutting a text into tokens, and a hashed embedding of them.
 *
 * The embedding needs no training: a word's vector is the pseudo-random stream that its hash
 * starts, so equal words have equal vectors, and the word before shifts them a little. */
#include "common/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/num.h"
#include "common/rng.h"

#define MAX_BYTES ((size_t)1 << 30)

/* ---- Tokens ---------------------------------------------------------------------------------- */

static bool is_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* The end of the token that starts at `at`. */
static size_t token_end(const char *data, size_t bytes, size_t at)
{
    size_t end = at + 1;

    if (!is_word((unsigned char)data[at]))
        return end;
    while (end < bytes &&
           (is_word((unsigned char)data[end]) ||
            (data[end] == '\'' && end + 1 < bytes && is_word((unsigned char)data[end + 1]))))
        end++;
    return end;
}

/* FNV-1a over the folded bytes. */
static uint64_t hash_token(const char *data, size_t bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t i;

    for (i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)data[i];

        hash ^= c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
        hash *= UINT64_C(0x100000001b3);
    }
    return tool_rng_mix(hash);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t count_distinct(const tool_text *t)
{
    uint64_t *sorted = tool_alloc("text", t->num_tokens, sizeof(*sorted)), i, distinct = 1;

    memcpy(sorted, t->hash, t->num_tokens * sizeof(*sorted));
    qsort(sorted, t->num_tokens, sizeof(*sorted), compare_hashes);
    for (i = 1; i < t->num_tokens; i++)
        distinct += sorted[i] != sorted[i - 1];
    free(sorted);
    return distinct;
}

bool text_cut(const char *data, size_t bytes, tool_text *text_out)
{
    tool_text t = {.hash = tool_alloc("text", bytes, sizeof(uint64_t))};
    size_t at = 0, end;

    while (at < bytes) {
        if ((unsigned char)data[at] <= ' ' || data[at] == 0x7f) {
            at++;
            continue;
        }
        end = token_end(data, bytes, at);
        t.hash[t.num_tokens++] = hash_token(data + at, end - at);
        at = end;
    }
    if (t.num_tokens == 0) {
        free(t.hash);
        return false;
    }
    t.num_words = count_distinct(&t);
    *text_out = t;
    return true;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* The whole file, to be freed, or NULL with errno. */
static char *read_all(int fd, size_t bytes, size_t *got_out)
{
    char *data = tool_alloc("text", bytes + 1, 1);
    size_t got = 0;
    ssize_t n;

    while (got < bytes) {
        n = read(fd, data + got, bytes - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(data);
            return NULL;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *got_out = got;
    return data;
}

bool text_read(const char *path, tool_text *text_out, char *error, size_t error_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    char *data = NULL;
    size_t got = 0;
    bool cut;

    if (fd < 0 || fstat(fd, &info) < 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        snprintf(error, error_bytes, "%s: not a regular file", path);
    } else if ((uint64_t)info.st_size > MAX_BYTES) {
        snprintf(error, error_bytes, "%s: %lld bytes, at most %zu are read", path,
                 (long long)info.st_size, MAX_BYTES);
    } else {
        data = read_all(fd, (size_t)info.st_size, &got);
        if (data == NULL)
            snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    if (data == NULL)
        return false;
    cut = text_cut(data, got, text_out);
    if (!cut)
        snprintf(error, error_bytes, "%s: no token in %zu bytes", path, got);
    free(data);
    return cut;
}

void text_close(tool_text *t)
{
    free(t->hash);
    *t = (tool_text){0};
}

/* ---- Embedding ------------------------------------------------------------------------------- */

/* Streams of the token and of the one before it. */
static void seed_streams(const tool_text *t, uint64_t index, uint64_t stream[2])
{
    uint64_t at = index % t->num_tokens;

    stream[0] = t->hash[at];
    stream[1] = t->hash[at == 0 ? t->num_tokens - 1 : at - 1] ^ 1;
}

void text_embed(const tool_text *t, uint64_t index, epx_type type, uint32_t hidden, void *row)
{
    uint64_t stream[2];
    uint32_t i;

    seed_streams(t, index, stream);
    for (i = 0; i < hidden; i++)
        num_put(type, row, i,
                1.5f * tool_rng_signed(&stream[0]) + 0.5f * tool_rng_signed(&stream[1]));
}

void text_embed_small(const tool_text *t, uint64_t index, uint32_t hidden, int16_t *row)
{
    uint64_t stream[2];
    uint32_t i;

    seed_streams(t, index, stream);
    for (i = 0; i < hidden; i++)
        row[i] = (int16_t)(3 * ((int)(tool_rng_next(&stream[0]) >> 56) - 128) +
                           ((int)(tool_rng_next(&stream[1]) >> 56) - 128));
}
