/* json.c - the writer: two blanks of indent per level, one item a line. */
#include "common/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_init(json *j, FILE *out)
{
    memset(j, 0, sizeof(*j));
    j->out = out;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Bytes of the well-formed UTF-8 sequence at text, 0 when there is none (RFC 3629). */
static size_t sequence_bytes(const unsigned char *text)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes, i;
    uint32_t code;

    if (text[0] < 0x80)
        return 1;
    bytes = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc0 || text[0] >= 0xf8)
        return 0;
    code = text[0] & (0xffu >> (bytes + 1));
    for (i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    if (code < lowest[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return bytes;
}

static void write_text(FILE *out, const char *value)
{
    const unsigned char *at = (const unsigned char *)value;
    size_t bytes;

    fputc('"', out);
    while (*at != '\0') {
        bytes = sequence_bytes(at);
        if (bytes == 0)
            fputs("\\ufffd", out);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, bytes, out);
        at += bytes == 0 ? 1 : bytes;
    }
    fputc('"', out);
}

/* ---- Structure ------------------------------------------------------------------------------- */

static void indent(json *j)
{
    fprintf(j->out, "\n%*s", (int)(2 * j->depth), "");
}

static void begin_item(json *j, const char *key)
{
    if (j->depth == 0)
        return;
    assert(j->in_object[j->depth - 1] == (key != NULL));
    if (j->has_items[j->depth - 1])
        fputc(',', j->out);
    j->has_items[j->depth - 1] = true;
    indent(j);
    if (key != NULL) {
        write_text(j->out, key);
        fputs(": ", j->out);
    }
}

static void open_level(json *j, const char *key, bool object)
{
    assert(j->depth < JSON_MAX_DEPTH);
    begin_item(j, key);
    fputc(object ? '{' : '[', j->out);
    j->in_object[j->depth] = object;
    j->has_items[j->depth] = false;
    j->depth++;
}

void json_open_object(json *j, const char *key)
{
    open_level(j, key, true);
}

void json_open_array(json *j, const char *key)
{
    open_level(j, key, false);
}

void json_close(json *j)
{
    assert(j->depth > 0);
    j->depth--;
    if (j->has_items[j->depth])
        indent(j);
    fputc(j->in_object[j->depth] ? '}' : ']', j->out);
    if (j->depth == 0)
        fputc('\n', j->out);
}

/* ---- Values ---------------------------------------------------------------------------------- */

void json_put_text(json *j, const char *key, const char *value)
{
    if (value == NULL) {
        json_put_null(j, key);
        return;
    }
    begin_item(j, key);
    write_text(j->out, value);
}

void json_put_number(json *j, const char *key, double value)
{
    char text[40];
    int digits;

    if (!isfinite(value)) {
        json_put_null(j, key);
        return;
    }
    for (digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    begin_item(j, key);
    fputs(text, j->out);
}

void json_put_integer(json *j, const char *key, uint64_t value)
{
    begin_item(j, key);
    fprintf(j->out, "%" PRIu64, value);
}

void json_put_null(json *j, const char *key)
{
    begin_item(j, key);
    fputs("null", j->out);
}

void json_put_bool(json *j, const char *key, bool value)
{
    begin_item(j, key);
    fputs(value ? "true" : "false", j->out);
}
