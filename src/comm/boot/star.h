/* star.h - inside of the TCP star: rank 0 (the host) holds a connection to every other rank (the
 * guests), each of them one to rank 0.
 *
 * Once open, everything is non-blocking and nothing is allocated. What is due to a member is state,
 * not a queue: pump() turns it into frames as its connection takes them. */
#ifndef EPX_COMM_BOOT_STAR_H
#define EPX_COMM_BOOT_STAR_H

#include "comm/boot/addr.h"
#include "comm/boot/boot.h"
#include "comm/boot/conn.h"
#include "comm/boot/handshake.h"
#include "comm/boot/message.h"

#define EPX_PIECE 16384                 /* of a contribution or a result, in one frame */
#define EPX_EARLY 4096                  /* contributions up to this size need no GO */
#define EPX_STAR_FRAME (EPX_PIECE + 64) /* no frame of an open star has a longer payload */
#define EPX_STAR_IN (EPX_STAR_FRAME + EPX_BOOT_FRAME_HEAD)
#define EPX_STAR_SPARE 8192 /* of the outgoing buffer, kept free of pieces for notices */
#define EPX_STAR_OUT (EPX_STAR_IN + EPX_STAR_SPARE)
#define EPX_NOTICES_KEPT 64

/* The rank at the other end of a connection. At the host: every guest. At a guest: the host. */
typedef struct epx_member {
    epx_conn conn;
    int32_t rank;
    bool left;         /* said farewell */
    bool lost;         /* ended without */
    bool writing;      /* EPOLLOUT is armed */
    char why[120];     /* of lost: a sentence */
    int32_t lost_told; /* at the host: how many of star->lost[] it has been told */
    bool broken_told;

    uint64_t entered; /* at the host: the last gather that it entered, and with how many bytes */
    uint64_t entered_bytes;
    uint8_t *early; /* [EPX_EARLY] its contribution, when it is that small */
    bool enter_due; /* at a guest */
    bool go_due;    /* at the host */
    bool sending;   /* pieces of star->source */
    size_t sent;    /* so far */
    size_t got;     /* bytes of its pieces so far */
    bool served;    /* at the host: the whole result is in its buffer or beyond */
} epx_member;

typedef enum epx_gather_state {
    EPX_GATHER_IDLE,
    EPX_GATHER_COLLECTING, /* host: not everybody's contribution is here; guest: no result yet */
    EPX_GATHER_SPREADING,  /* host: the result goes out */
    EPX_GATHER_ASKING,     /* guest: given up, rank 0 is asked who is missing */
    EPX_GATHER_DONE,
    EPX_GATHER_FAILED
} epx_gather_state;

typedef struct epx_star {
    epx_boot boot;       /* first: a star is a boot */
    epx_member *members; /* owns; host: [size], the own entry unused; guest: [1] */
    int32_t num_members;
    uint8_t *buffers; /* owns, reserved */
    size_t buffers_bytes;
    bool stir; /* something is due to members other than the one at hand */

    bool *scratch; /* owns, [size] */
    int32_t *lost; /* owns, [size] in the order in which the host saw them go */
    int32_t num_lost;
    int32_t num_left;

    epx_notice *heard; /* owns, a ring of heard_room */
    int32_t heard_room, heard_first, heard_count;
    int32_t plain_count; /* of heard_count: those that are no loss seen by the host */

    epx_gather_state gather;
    uint64_t number; /* of the current or last gather, from 1 */
    size_t bytes, total;
    const uint8_t *mine; /* borrows, as all */
    uint8_t *all;
    uint64_t asked_ns;
    bool broken; /* no gather can succeed any more, because of... */
    epx_report report;
} epx_star;

typedef struct epx_star_config {
    epx_ident ident;
    const char *launcher;
    const char *interface; /* "" when not chosen: the one of the connection */
    uint32_t timeout_ms;
    uint64_t until_ns;
    int listen_fd;           /* rank 0: borrows */
    const epx_addr *targets; /* others: where rank 0 may be, tried in turn */
    int num_targets;
    bool search; /* the targets are guesses: other programs may listen there */
} epx_star_config;

/* Meets the others and returns an open star. Collective. */
EPX_NODISCARD epx_status epx_star_open(const epx_star_config *cfg, epx_boot **boot_out);

/* host.c, join.c: the two sides of meeting. */
EPX_NODISCARD epx_status epx_star_host(epx_star *star, const epx_star_config *cfg);
EPX_NODISCARD epx_status epx_star_join(epx_star *star, const epx_star_config *cfg);

/* star.c */
static inline bool epx_star_is_host(const epx_star *star)
{
    return star->boot.rank == 0;
}
/* NULL for the own rank and, at a guest, for all but rank 0. */
epx_member *epx_star_member(epx_star *star, int32_t rank);
static inline bool epx_member_present(const epx_member *member)
{
    return member->conn.fd >= 0 && !member->left && !member->lost;
}
/* Watches the member's connection in boot.fd. */
EPX_NODISCARD epx_status epx_star_watch(epx_star *star, epx_member *member);
/* Turns what is due into frames and sends what goes. */
void epx_star_pump(epx_star *star, epx_member *member);
void epx_star_pump_all(epx_star *star);

/* notice.c */
void epx_star_lose(epx_star *star, epx_member *member, const char *why);
bool epx_star_on_notice(epx_star *star, epx_member *member, const epx_boot_frame *frame);
void epx_star_pump_losses(epx_star *star, epx_member *member);
bool epx_star_hear(epx_boot *boot, epx_notice *notice_out);
void epx_star_tell(epx_boot *boot, const epx_notice *notice);

/* gather.c, collect.c: calls of the boot, and frames by type (false: no valid one) */
epx_status epx_star_gather_start(epx_boot *boot, const void *mine, size_t bytes, void *all);
bool epx_star_gather_done(epx_boot *boot, epx_status *status_out);
void epx_star_gather_cancel(epx_boot *boot, uint32_t timeout_ms);
bool epx_star_on_gather(epx_star *star, epx_member *member, const epx_boot_frame *frame);
bool epx_star_on_piece(epx_star *star, epx_member *member, const epx_boot_frame *frame);
bool epx_star_on_go(epx_star *star, epx_member *member, const epx_boot_frame *frame);
bool epx_star_on_holdup(epx_star *star, epx_member *member, const epx_boot_frame *frame);
bool epx_star_on_broken(epx_star *star, epx_member *member, const epx_boot_frame *frame);
/* The member is lost or has left: what becomes of gathers. */
void epx_star_gather_gone(epx_star *star, epx_member *member);
bool epx_star_pump_gather(epx_star *star, epx_member *member); /* true: more is due */
/* At the host, after sending: is the result with everybody? */
void epx_star_gather_settle(epx_star *star);

#endif /* EPX_COMM_BOOT_STAR_H */
