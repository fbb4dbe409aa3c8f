/* json.h - writes one JSON value to a stream: finite numbers, escaped text, null for unknown.
 *
 * Equal calls give equal bytes. Nesting and keys are the caller's to get right (asserted). */
#ifndef TOOLS_COMMON_JSON_H
#define TOOLS_COMMON_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_MAX_DEPTH 16

typedef struct json {
    FILE *out; /* borrows */
    unsigned depth;
    bool in_object[JSON_MAX_DEPTH];
    bool has_items[JSON_MAX_DEPTH];
} json;

void json_init(json *j, FILE *out);

/* key: the name inside an object, NULL inside an array and at the top. */
void json_open_object(json *j, const char *key);
void json_open_array(json *j, const char *key);
void json_close(json *j); /* the last one opened; the outermost ends the line */

void json_put_text(json *j, const char *key, const char *value); /* NULL: null */
/* The shortest decimal that reads back as the same double; null unless finite. */
void json_put_number(json *j, const char *key, double value);
void json_put_integer(json *j, const char *key, uint64_t value);
void json_put_null(json *j, const char *key);
void json_put_bool(json *j, const char *key, bool value);

#endif /* TOOLS_COMMON_JSON_H */
