/* message.h - the types of frame on a boot connection, and the layouts of the small ones.
 *
 * HELLO, CHALLENGE, PROOF, REFUSE and FAILURE keep their numbers and layouts for ever: ranks of
 * different wire versions must still be able to tell each other that they differ. */
#ifndef EPX_COMM_BOOT_MESSAGE_H
#define EPX_COMM_BOOT_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/boot/boot.h"
#include "comm/boot/frame.h"

#define EPX_WIRE_VERSION 1u

typedef enum epx_message {
    EPX_MSG_HELLO = 1, /* guest: who I am */
    EPX_MSG_CHALLENGE, /* host: who I am, with proof */
    EPX_MSG_PROOF,     /* guest: my proof */
    EPX_MSG_REFUSE,    /* host: you are not of this job */
    EPX_MSG_SEATED,    /* host: you are; now the others have to come */
    EPX_MSG_FAILURE,   /* either way, before WELCOME: a status and a sentence */
    EPX_MSG_WELCOME,   /* host: all ranks are here */
    EPX_MSG_NOTICE,    /* an epx_notice */
    EPX_MSG_GATHER,    /* guest: enters a gather; small contributions ride along */
    EPX_MSG_GO,        /* host: send the pieces of your contribution */
    EPX_MSG_PIECE,     /* of a contribution (to the host) or of the result (from it) */
    EPX_MSG_HOLDUP,    /* guest: this gather takes too long, who is missing? */
    EPX_MSG_BROKEN,    /* host: this star gathers no more; as FAILURE */
    EPX_MSG_FAREWELL   /* either: what ends now is no loss */
} epx_message;

#define EPX_REPORT_TEXT 240
#define EPX_REPORT_BYTES (4 + EPX_REPORT_TEXT)

/* What FAILURE and BROKEN carry. */
typedef struct epx_report {
    epx_status status;
    char text[EPX_REPORT_TEXT];
} epx_report;

void epx_report_set(epx_report *report, epx_status status, const char *format, ...)
    EPX_PRINTF(3, 4);
void epx_report_write(const epx_report *report, uint8_t out[EPX_REPORT_BYTES]);
/* False when it is none; an unknown status becomes EPX_ERR_SYSTEM. */
bool epx_report_read(const epx_boot_frame *frame, epx_report *report_out);

#define EPX_NOTICE_BYTES sizeof(epx_notice)

void epx_notice_write(const epx_notice *notice, uint8_t out[EPX_NOTICE_BYTES]);
/* False when it is none of a star of `size` ranks. */
bool epx_notice_read(const epx_boot_frame *frame, int32_t size, epx_notice *notice_out);

/* "rank 3", "ranks 3 and 7", "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 9 others": those i below count with
 * set[i]. Returns how many. */
int32_t epx_ranks_text(const bool *set, int32_t count, char *text, size_t size);

#endif /* EPX_COMM_BOOT_MESSAGE_H */
