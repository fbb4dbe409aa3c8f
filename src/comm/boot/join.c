/* join.c - every rank but 0 while the others join: finds rank 0, proves itself, waits for WELCOME.
 *
 * Where the targets are guesses (a range of ports) something else may listen there: it is left
 * alone and the next is tried, round after round until the deadline. A connection that ends before
 * it was SEATED is tried again: rank 0 was not ready, or had to make room. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "comm/boot/bytes.h"
#include "comm/boot/star.h"
#include "core/clock.h"

#define CONNECT_MS 250       /* first patience with a silent target; doubles each round */
#define ANSWER_MS 300        /* as above, when other programs may listen there */
#define LONGEST_MS 5000      /* of both */
#define SHORTEST_NAP_US 1000 /* between rounds; grows by half each time */
#define LONGEST_NAP_US 100000
#define LAST_WORD_MS 200 /* for rank 0 to say who is missing, once our time is up */

typedef enum found { FOUND_SEAT, FOUND_NOTHING, FOUND_STRANGER, FOUND_END } found;

typedef struct seeker {
    epx_star *star; /* borrows, as cfg */
    const epx_star_config *cfg;
    epx_ident ident; /* with the cookie, once known */
    uint32_t connect_ms, answer_ms;
    char last[240]; /* why the latest try failed */
    bool stranger;  /* `last` is about somebody of another job */
    epx_status end; /* with FOUND_END */
} seeker;

static uint64_t patience(const seeker *s, uint32_t ms)
{
    uint64_t until = epx_deadline(epx_clock_ns(), ms);

    return until < s->cfg->until_ns ? until : s->cfg->until_ns;
}

static found nothing(seeker *s)
{
    snprintf(s->last, sizeof(s->last), "%s", epx_last_error());
    s->stranger = false;
    return FOUND_NOTHING;
}

static found stranger(seeker *s, const char *why)
{
    snprintf(s->last, sizeof(s->last), "%s", why);
    s->stranger = true;
    return FOUND_STRANGER;
}

static found refused(seeker *s, const epx_boot_frame *frame)
{
    uint32_t keyed = 0;

    if (frame->length == 4)
        epx_get_u32(frame->payload, &keyed);
    if ((keyed != 0) == s->ident.claim.keyed)
        return stranger(s, "it is of another job or has another key");
    return stranger(s, keyed != 0 ? "it has a job key and this rank has none"
                                  : "it has no job key and this rank has one");
}

/* After PROOF: only rank 0's decision or the deadline ends it, so no seat is ever taken twice. */
static found take_seat(seeker *s)
{
    epx_conn *conn = &s->star->members[0].conn;
    epx_boot_frame frame;
    epx_status st = epx_conn_await(conn, s->cfg->until_ns, EPX_STAR_FRAME, &frame);
    epx_report report;

    if (st != EPX_OK)
        return nothing(s);
    if (frame.type == EPX_MSG_SEATED && frame.length == 0)
        return FOUND_SEAT;
    s->end = EPX_ERR_CORRUPT;
    if (frame.type == EPX_MSG_FAILURE && epx_report_read(&frame, &report))
        s->end = epx_fail(report.status, "%s", report.text);
    else
        (void)epx_fail(s->end, "rank 0 sent a frame of type %u instead of a seat", frame.type);
    return FOUND_END;
}

static found shake_hands(seeker *s)
{
    epx_conn *conn = &s->star->members[0].conn;
    uint8_t hello[EPX_HELLO_BYTES], proof[EPX_MAC_BYTES];
    epx_boot_frame frame;
    epx_claim claim;
    epx_status st;

    epx_hello_make(&s->ident, hello);
    epx_conn_put(conn, EPX_MSG_HELLO, hello, sizeof(hello));
    st = epx_conn_await(conn, patience(s, s->answer_ms), EPX_STAR_FRAME, &frame);
    if (st == EPX_ERR_CORRUPT)
        return stranger(s, "no epx listens there");
    if (st != EPX_OK)
        return nothing(s);
    if (frame.type == EPX_MSG_REFUSE)
        return refused(s, &frame);
    if (epx_challenge_answer(&s->ident, hello, &frame, &claim, proof) != EPX_OK)
        return stranger(s, epx_last_error());
    epx_conn_put(conn, EPX_MSG_PROOF, proof, sizeof(proof));
    return take_seat(s);
}

static found try_target(seeker *s, const epx_addr *target)
{
    epx_conn *conn = &s->star->members[0].conn;
    epx_status st;
    found what;
    int fd;

    st = epx_addr_connect(target, patience(s, s->connect_ms), &fd);
    if (st == EPX_ERR_SYSTEM) {
        s->end = st;
        return FOUND_END;
    }
    if (st != EPX_OK)
        return nothing(s);
    epx_conn_init(conn, fd, conn->in, EPX_STAR_IN, EPX_STAR_OUT);
    what = shake_hands(s);
    if (what != FOUND_SEAT)
        epx_conn_close(conn);
    return what;
}

static uint32_t doubled(uint32_t ms)
{
    return ms < LONGEST_MS / 2 ? 2 * ms : LONGEST_MS;
}

/* FOUND_SEAT, FOUND_END, or what the deadline leaves. */
static found seek(seeker *s)
{
    long nap_us = SHORTEST_NAP_US;
    found what = FOUND_NOTHING;
    int i;

    for (;;) {
        struct timespec nap = {.tv_nsec = nap_us * 1000};

        for (i = 0; i < s->cfg->num_targets; i++) {
            what = try_target(s, &s->cfg->targets[i]);
            if (what == FOUND_SEAT || what == FOUND_END)
                return what;
            if (what == FOUND_STRANGER && !s->cfg->search)
                return what;
            if (epx_clock_ns() >= s->cfg->until_ns)
                return what;
        }
        nanosleep(&nap, NULL);
        if (nap_us < LONGEST_NAP_US)
            nap_us += nap_us / 2;
        s->connect_ms = doubled(s->connect_ms);
        s->answer_ms = doubled(s->answer_ms);
    }
}

static epx_status not_found(const seeker *s)
{
    const epx_star_config *cfg = s->cfg;
    char first[EPX_ADDR_TEXT], last[EPX_ADDR_TEXT];

    epx_addr_text(&cfg->targets[0], first, sizeof(first));
    epx_addr_text(&cfg->targets[cfg->num_targets - 1], last, sizeof(last));
    if (s->stranger)
        return epx_fail(EPX_ERR_AUTH, "rank %d: no proof from rank 0 at %s%s%s: %s",
                        cfg->ident.claim.rank, first, cfg->num_targets > 1 ? " to " : "",
                        cfg->num_targets > 1 ? last : "", s->last);
    return epx_fail(EPX_ERR_TIMEOUT, "rank 0 did not answer at %s%s%s within %u ms (%s)", first,
                    cfg->num_targets > 1 ? " to " : "", cfg->num_targets > 1 ? last : "",
                    cfg->timeout_ms, s->last);
}

/* Our time is up, or we cannot go on: rank 0 tells the others, and us what it knows. */
static epx_status last_word(seeker *s, epx_status st)
{
    epx_conn *conn = &s->star->members[0].conn;
    uint8_t bytes[EPX_REPORT_BYTES];
    epx_boot_frame frame;
    epx_report report;

    epx_report_set(&report, st, "%s", epx_last_error());
    epx_report_write(&report, bytes);
    epx_conn_put(conn, EPX_MSG_FAILURE, bytes, sizeof(bytes));
    if (epx_conn_await(conn, epx_deadline(epx_clock_ns(), LAST_WORD_MS), EPX_STAR_FRAME, &frame) ==
            EPX_OK &&
        frame.type == EPX_MSG_FAILURE && epx_report_read(&frame, &report))
        return epx_fail(report.status, "%s", report.text);
    return epx_fail(st, "rank 0 let rank %d in, but not all others came within %u ms",
                    s->cfg->ident.claim.rank, s->cfg->timeout_ms);
}

static epx_status await_welcome(seeker *s)
{
    epx_member *host = &s->star->members[0];
    epx_boot_frame frame;
    epx_report report;
    epx_status st = epx_conn_await(&host->conn, s->cfg->until_ns, EPX_STAR_FRAME, &frame);

    if (st == EPX_ERR_TIMEOUT)
        return last_word(s, st);
    if (st == EPX_ERR_PEER_LOST)
        return epx_fail(st, "lost rank 0 before all had joined");
    if (st != EPX_OK)
        return st;
    if (frame.type == EPX_MSG_FAILURE && epx_report_read(&frame, &report))
        return epx_fail(report.status, "%s", report.text);
    if (frame.type != EPX_MSG_WELCOME)
        return epx_fail(EPX_ERR_CORRUPT, "rank 0 sent a frame of type %u instead of a welcome",
                        frame.type);
    return epx_star_watch(s->star, host);
}

epx_status epx_star_join(epx_star *star, const epx_star_config *cfg)
{
    seeker s = {.star = star,
                .cfg = cfg,
                .ident = cfg->ident,
                .connect_ms = CONNECT_MS,
                .answer_ms = cfg->search ? ANSWER_MS : LONGEST_MS};
    epx_status st = EPX_OK;

    switch (seek(&s)) {
    case FOUND_SEAT:
        st = await_welcome(&s);
        break;
    case FOUND_END:
        st = s.end;
        break;
    default:
        st = not_found(&s);
        break;
    }
    if (st == EPX_OK)
        memcpy(star->boot.key, s.ident.key, EPX_KEY_BYTES);
    epx_auth_wipe(&s.ident, sizeof(s.ident));
    return st;
}
