/* message.c - reports, notices and lists of ranks as bytes and as text. */
#include "comm/boot/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "comm/boot/bytes.h"

#define RANKS_NAMED 8

void epx_report_set(epx_report *report, epx_status status, const char *format, ...)
{
    va_list args;

    memset(report, 0, sizeof(*report));
    report->status = status;
    va_start(args, format);
    vsnprintf(report->text, sizeof(report->text), format, args);
    va_end(args);
}

void epx_report_write(const epx_report *report, uint8_t out[EPX_REPORT_BYTES])
{
    epx_put_raw(epx_put_u32(out, (uint32_t)report->status), report->text, EPX_REPORT_TEXT);
}

/* Control characters of another process do not reach our log. */
static void clean_text(char *text, size_t size)
{
    size_t i;

    text[size - 1] = '\0';
    for (i = 0; text[i] != '\0'; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

static epx_status known_status(int32_t value)
{
    switch (value) {
#define EPX_X(name, number, text) case (number):
        EPX_STATUS_LIST(EPX_X)
#undef EPX_X
        return (epx_status)value;
    default:
        return EPX_ERR_SYSTEM;
    }
}

bool epx_report_read(const epx_boot_frame *frame, epx_report *report_out)
{
    int32_t status;

    if (frame->length != EPX_REPORT_BYTES)
        return false;
    epx_get_raw(epx_get_i32(frame->payload, &status), report_out->text, EPX_REPORT_TEXT);
    report_out->status = status == EPX_OK ? EPX_ERR_SYSTEM : known_status(status);
    clean_text(report_out->text, sizeof(report_out->text));
    return true;
}

void epx_notice_write(const epx_notice *notice, uint8_t out[EPX_NOTICE_BYTES])
{
    uint8_t *p = epx_put_u32(out, notice->kind);

    p = epx_put_u32(p, (uint32_t)notice->from);
    p = epx_put_u32(p, (uint32_t)notice->rank);
    p = epx_put_u32(p, (uint32_t)notice->status);
    epx_put_raw(p, notice->text, sizeof(notice->text));
}

bool epx_notice_read(const epx_boot_frame *frame, int32_t size, epx_notice *notice_out)
{
    const uint8_t *p = frame->payload;
    epx_notice notice;

    if (frame->length != EPX_NOTICE_BYTES)
        return false;
    p = epx_get_u32(p, &notice.kind);
    p = epx_get_i32(p, &notice.from);
    p = epx_get_i32(p, &notice.rank);
    p = epx_get_i32(p, &notice.status);
    epx_get_raw(p, notice.text, sizeof(notice.text));
    if (notice.kind < EPX_NOTICE_LOST || notice.kind > EPX_NOTICE_VERDICT)
        return false;
    if (notice.from < 0 || notice.from >= size || notice.rank < -1 || notice.rank >= size)
        return false;
    notice.status = known_status(notice.status);
    clean_text(notice.text, sizeof(notice.text));
    *notice_out = notice;
    return true;
}

static size_t append(char *text, size_t size, size_t used, const char *joint, int32_t number)
{
    int n = snprintf(text + used, size - used, "%s%d", joint, number);

    return n < 0 || (size_t)n >= size - used ? size - 1 : used + (size_t)n;
}

int32_t epx_ranks_text(const bool *set, int32_t count, char *text, size_t size)
{
    int32_t i, total = 0, named = 0;
    size_t used;

    for (i = 0; i < count; i++)
        total += set[i];
    used = (size_t)snprintf(text, size, total == 1 ? "rank" : "ranks");
    for (i = 0; i < count && named < RANKS_NAMED; i++) {
        if (!set[i])
            continue;
        used = append(text, size, used,
                      named == 0                                   ? " "
                      : named == total - 1 && total <= RANKS_NAMED ? " and "
                                                                   : ", ",
                      i);
        named++;
    }
    if (named < total) {
        used = append(text, size, used, " and ", total - named);
        snprintf(text + used, size - used, total - named == 1 ? " other" : " others");
    }
    return total;
}
