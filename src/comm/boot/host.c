/* host.c - rank 0 while the others join: seats who has proved itself, compares claims, and ends
 * with the same word for everybody: WELCOME, or one FAILURE.
 *
 * A mismatch is held back until all ranks are here (or nobody came for a while), so that all of
 * them hear of it. A loss, a rank that gave up, and the deadline end the meeting at once. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "comm/boot/door.h"
#include "comm/boot/star.h"
#include "core/clock.h"
#include "core/mem.h"

#define EXTRAS 16 /* members of the job without a seat: a number twice, or none of this world */
#define EXTRA_BUFFER 512
#define EVENTS 64
#define FLUSH_MS 500 /* for the last word to a member whose socket is full */

typedef struct meeting {
    epx_star *star;             /* borrows */
    const epx_star_config *cfg; /* borrows */
    epx_door *door;             /* owns */
    int32_t seated;
    epx_conn extras[EXTRAS];
    int num_extras;
    uint8_t extra_buffers[EXTRAS][2 * EXTRA_BUFFER];
    uint64_t came_ns;  /* when the last one came */
    bool over;         /* `report` cannot wait */
    epx_report report; /* EPX_OK: all is well so far */
} meeting;

/* ---- who comes in ---------------------------------------------------------------------------- */

static void differ(meeting *m, const char *field, uint64_t ours, int32_t rank, uint64_t theirs)
{
    if (m->report.status == EPX_OK)
        epx_report_set(&m->report, EPX_ERR_MISMATCH,
                       "%s differs: rank 0 has %llu, rank %d has %llu", field,
                       (unsigned long long)ours, rank, (unsigned long long)theirs);
}

static void compare(meeting *m, const epx_claim *theirs)
{
    const epx_claim *ours = &m->cfg->ident.claim;

    if (theirs->library != ours->library)
        differ(m, "library version", ours->library, theirs->rank, theirs->library);
    if (theirs->wire != ours->wire)
        differ(m, "wire version", ours->wire, theirs->rank, theirs->wire);
    if (theirs->world_size != ours->world_size)
        differ(m, "world size", (uint64_t)(int64_t)ours->world_size, theirs->rank,
               (uint64_t)(int64_t)theirs->world_size);
}

/* One that has no seat stays until the end, to hear why. */
static void keep_extra(meeting *m, epx_conn *conn)
{
    epx_conn *extra = &m->extras[m->num_extras];

    if (m->num_extras == EXTRAS) {
        epx_conn_close(conn);
        return;
    }
    epx_conn_init(extra, -1, m->extra_buffers[m->num_extras++], EXTRA_BUFFER, EXTRA_BUFFER);
    epx_conn_adopt(extra, conn);
}

static void refuse_twin(meeting *m, const epx_guest *guest)
{
    int32_t rank = guest->claim.rank;
    char first[EPX_ADDR_TEXT];

    if (rank == 0)
        snprintf(first, sizeof(first), "this one");
    else
        epx_addr_peer_text(m->star->members[rank].conn.fd, first, sizeof(first));
    if (m->report.status == EPX_OK)
        epx_report_set(&m->report, EPX_ERR_MISMATCH,
                       "rank: two processes claim to be rank %d: %s and %s", rank, first,
                       guest->from);
}

static epx_status admit(meeting *m, const epx_guest *guest)
{
    int32_t rank = guest->claim.rank, size = m->star->boot.size;
    epx_member *member;

    m->came_ns = epx_clock_ns();
    compare(m, &guest->claim);
    if (rank < 0 || rank >= size) {
        if (m->report.status == EPX_OK)
            epx_report_set(&m->report, EPX_ERR_MISMATCH,
                           "rank: %s claims to be rank %d of a world of %d", guest->from, rank,
                           size);
        keep_extra(m, guest->conn);
        return EPX_OK;
    }
    member = &m->star->members[rank];
    if (rank == 0 || member->conn.fd >= 0) {
        refuse_twin(m, guest);
        keep_extra(m, guest->conn);
        return EPX_OK;
    }
    epx_conn_adopt(&member->conn, guest->conn);
    m->seated++;
    if (epx_conn_put(&member->conn, EPX_MSG_SEATED, NULL, 0))
        epx_conn_flush(&member->conn);
    return epx_star_watch(m->star, member);
}

static epx_status open_door(meeting *m)
{
    epx_guest guest;
    epx_status st;
    bool came;

    do {
        st = epx_door_step(m->door, &guest, &came);
        if (st == EPX_OK && came)
            st = admit(m, &guest);
    } while (st == EPX_OK && came);
    return st;
}

/* ---- who goes again -------------------------------------------------------------------------- */

static void report_missing(meeting *m)
{
    char names[128];
    int32_t i;

    if (m->report.status != EPX_OK)
        return;
    for (i = 0; i < m->star->boot.size; i++)
        m->star->scratch[i] = i > 0 && m->star->members[i].conn.fd < 0;
    epx_ranks_text(m->star->scratch, m->star->boot.size, names, sizeof(names));
    epx_report_set(&m->report, EPX_ERR_TIMEOUT, "%s did not join within %u ms", names,
                   m->cfg->timeout_ms);
}

static void take_report(meeting *m, const epx_member *member, const epx_report *theirs)
{
    m->over = true;
    if (theirs->status == EPX_ERR_TIMEOUT)
        report_missing(m); /* its time is up before ours, for the same reason */
    else if (m->report.status == EPX_OK)
        epx_report_set(&m->report, EPX_ERR_ABORTED, "rank %d gave up: %.200s", member->rank,
                       theirs->text);
}

static void lose(meeting *m, const epx_member *member, const char *why)
{
    m->over = true;
    if (m->report.status == EPX_OK)
        epx_report_set(&m->report, EPX_ERR_PEER_LOST, "lost rank %d before all had joined: %s",
                       member->rank, why);
}

/* A member says nothing before WELCOME, except that it gives up. */
static void attend(meeting *m, epx_member *member)
{
    epx_boot_frame frame;
    epx_report theirs;

    if (member->conn.fd < 0 || !epx_conn_fill(&member->conn))
        return;
    switch (epx_conn_next(&member->conn, EPX_STAR_FRAME, &frame)) {
    case EPX_BOOT_FRAME_BAD:
        lose(m, member, epx_last_error());
        return;
    case EPX_BOOT_FRAME_READY:
        if (frame.type == EPX_MSG_FAILURE && epx_report_read(&frame, &theirs))
            take_report(m, member, &theirs);
        else
            lose(m, member, "spoke out of turn");
        return;
    case EPX_BOOT_FRAME_MORE:
        if (member->conn.ended)
            lose(m, member, "closed its connection");
        return;
    }
}

static void attend_members(meeting *m)
{
    struct epoll_event events[EVENTS];
    int i, count = epoll_wait(m->star->boot.fd, events, EVENTS, 0);

    for (i = 0; i < count && !m->over; i++)
        attend(m, &m->star->members[events[i].data.u32]);
}

/* ---- the meeting ----------------------------------------------------------------------------- */

/* With a mismatch: nobody has come for a quarter of the time that all have. */
static uint64_t quiet_until(const meeting *m)
{
    return epx_deadline(m->came_ns, m->cfg->timeout_ms / 4);
}

static bool complete(const meeting *m)
{
    int32_t others = m->star->boot.size - 1;

    if (m->report.status == EPX_OK)
        return m->seated == others;
    return m->over || m->seated + m->num_extras >= others || epx_clock_ns() >= quiet_until(m);
}

static void wait_for_somebody(const meeting *m, uint64_t now)
{
    struct pollfd p[2] = {{.fd = epx_door_fd(m->door), .events = POLLIN},
                          {.fd = m->star->boot.fd, .events = POLLIN}};
    uint64_t until = epx_door_expiry(m->door);

    if (m->report.status != EPX_OK && quiet_until(m) < until)
        until = quiet_until(m);
    if (m->cfg->until_ns < until)
        until = m->cfg->until_ns;
    poll(p, 2, epx_deadline_left_ms(until, now, 1000));
}

static epx_status meet(meeting *m)
{
    epx_status st;

    while (!complete(m)) {
        uint64_t now = epx_clock_ns();

        if (now >= m->cfg->until_ns) {
            m->over = true;
            report_missing(m);
            break;
        }
        wait_for_somebody(m, now);
        st = open_door(m);
        if (st != EPX_OK)
            return st;
        attend_members(m);
    }
    if (m->report.status != EPX_OK)
        return epx_fail(m->report.status, "%s", m->report.text);
    return EPX_OK;
}

static void say_last(epx_conn *conn, uint16_t type, const void *payload, uint32_t length,
                     uint64_t until_ns)
{
    if (conn->fd < 0 || !epx_conn_put(conn, type, payload, length))
        return;
    epx_conn_flush(conn);
    while (epx_conn_pending(conn) && epx_clock_ns() < until_ns) {
        struct pollfd p = {.fd = conn->fd, .events = POLLOUT};

        poll(&p, 1, 10);
        epx_conn_flush(conn);
    }
}

static void conclude(meeting *m, epx_status st)
{
    uint64_t until = epx_deadline(epx_clock_ns(), FLUSH_MS);
    uint8_t failure[EPX_REPORT_BYTES];
    int32_t i;

    if (st != EPX_OK && m->report.status == EPX_OK)
        epx_report_set(&m->report, EPX_ERR_ABORTED, "rank 0 gave up: %.200s", epx_last_error());
    epx_report_write(&m->report, failure);
    for (i = 1; i < m->star->boot.size; i++) {
        epx_conn *conn = &m->star->members[i].conn;

        if (st == EPX_OK)
            say_last(conn, EPX_MSG_WELCOME, NULL, 0, until);
        else
            say_last(conn, EPX_MSG_FAILURE, failure, sizeof(failure), until);
    }
    for (i = 0; i < m->num_extras; i++) {
        say_last(&m->extras[i], EPX_MSG_FAILURE, failure, sizeof(failure), until);
        epx_conn_close(&m->extras[i]);
    }
}

epx_status epx_star_host(epx_star *star, const epx_star_config *cfg)
{
    meeting *m = epx_mem_alloc("boot meeting", 1, sizeof(*m));
    epx_status st;

    if (m == NULL)
        return EPX_ERR_NO_MEMORY;
    m->star = star;
    m->cfg = cfg;
    m->came_ns = epx_clock_ns();
    st = epx_door_open(cfg->listen_fd, &cfg->ident, &m->door);
    if (st == EPX_OK) {
        st = meet(m);
        conclude(m, st);
    }
    if (st == EPX_OK)
        memcpy(star->boot.key, cfg->ident.key, EPX_KEY_BYTES);
    epx_door_close(m->door);
    epx_mem_free(m);
    return st;
}
