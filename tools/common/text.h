/* text.h - a text file as tokens: words and punctuation marks, each known by a hash.
 *
 * A word is a run of letters, digits, inner apostrophes and bytes beyond ASCII; case is folded for
 * ASCII. Any other printable character is a token of its own. */
#ifndef TOOLS_COMMON_TEXT_H
#define TOOLS_COMMON_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <epx/exchange.h>

typedef struct tool_text {
    uint64_t num_tokens;
    uint64_t num_words; /* distinct tokens */
    uint64_t *hash;     /* [num_tokens]; owns */
} tool_text;

/* Reads a file. False, with one sentence in error: unreadable, no regular file, or no token. */
bool text_read(const char *path, tool_text *text_out, char *error, size_t error_bytes);
/* Cuts `bytes` bytes into tokens; false when there are none. */
bool text_cut(const char *data, size_t bytes, tool_text *text_out);
void text_close(tool_text *text);

/* The hashed embedding of the text's token number `index` (modulo its length) in its context: a
 * fixed pseudo-random vector per word, three parts, and one part of the word before it. */
void text_embed(const tool_text *text, uint64_t index, epx_type type, uint32_t hidden, void *row);

/* The same as small integers, so that products of them are exact everywhere. */
void text_embed_small(const tool_text *text, uint64_t index, uint32_t hidden, int16_t *row);

#endif /* TOOLS_COMMON_TEXT_H */
