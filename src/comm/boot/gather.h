/* gather.h - what the two sides of gathers share: see gather.c. */
#ifndef EPX_COMM_BOOT_GATHER_H
#define EPX_COMM_BOOT_GATHER_H

#include "comm/boot/star.h"

#define EPX_ENTER_HEAD 16 /* number, bytes */
#define EPX_PIECE_HEAD 16 /* number, offset */

/* No gather succeeds any more; a running one fails with report, at the host on all ranks. */
void epx_gather_break(epx_star *star, const epx_report *report);
/* The same, because of a member that is lost or has left. */
void epx_gather_break_by(epx_star *star, const epx_member *member);
/* A member without whom no further gather can succeed, or NULL. */
const epx_member *epx_gather_gone(const epx_star *star);
/* mine and all are the caller's again. */
void epx_gather_release(epx_star *star);

/* collect.c, at the host */
void epx_collect_from(epx_star *star, epx_member *member); /* which has entered this gather */
void epx_collect_finish(epx_star *star);                   /* when everything is here */
bool epx_collect_piece(epx_star *star, epx_member *member, uint64_t offset, const uint8_t *data,
                       size_t n);
/* Breaks the star, naming who has not entered gather `number`. */
void epx_collect_expire(epx_star *star, uint64_t number, uint32_t timeout_ms);

#endif /* EPX_COMM_BOOT_GATHER_H */
