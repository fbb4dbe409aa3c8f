/* star.c - life of a star: opening, moving bytes, waiting, closing. */
#include "comm/boot/star.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "comm/boot/iface.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/size.h"

#define EVENTS 64
#define READS_IN_A_ROW 16 /* from one member, before others get their turn */

epx_member *epx_star_member(epx_star *star, int32_t rank)
{
    if (rank == star->boot.rank)
        return NULL;
    if (epx_star_is_host(star))
        return &star->members[rank];
    return rank == 0 ? &star->members[0] : NULL;
}

/* ---- sending --------------------------------------------------------------------------------- */

epx_status epx_star_watch(epx_star *star, epx_member *member)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(member - star->members)};

    if (epoll_ctl(star->boot.fd, EPOLL_CTL_ADD, member->conn.fd, &event) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "epoll_ctl: %s", strerror(errno));
    return EPX_OK;
}

static void watch_writing(epx_star *star, epx_member *member)
{
    bool want = epx_conn_pending(&member->conn);
    struct epoll_event event = {.events = EPOLLIN | (want ? EPOLLOUT : 0),
                                .data.u32 = (uint32_t)(member - star->members)};

    if (member->conn.fd < 0 || want == member->writing)
        return;
    if (epoll_ctl(star->boot.fd, EPOLL_CTL_MOD, member->conn.fd, &event) == 0)
        member->writing = want;
}

void epx_star_pump(epx_star *star, epx_member *member)
{
    bool more = true;

    while (more && epx_member_present(member)) {
        epx_star_pump_losses(star, member);
        more = epx_star_pump_gather(star, member);
        if (!epx_conn_flush(&member->conn))
            break; /* the kernel takes no more for now, or nothing is left */
    }
    watch_writing(star, member);
}

void epx_star_pump_all(epx_star *star)
{
    int32_t i;

    star->stir = false;
    for (i = 0; i < star->num_members; i++)
        epx_star_pump(star, &star->members[i]);
    epx_star_gather_settle(star);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool on_farewell(epx_star *star, epx_member *member)
{
    member->left = true;
    star->num_left++;
    epx_star_gather_gone(star, member);
    return true;
}

static bool take_at_host(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    switch (frame->type) {
    case EPX_MSG_GATHER:
        return epx_star_on_gather(star, member, frame);
    case EPX_MSG_HOLDUP:
        return epx_star_on_holdup(star, member, frame);
    default:
        return false;
    }
}

static bool take_at_guest(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    switch (frame->type) {
    case EPX_MSG_GO:
        return epx_star_on_go(star, member, frame);
    case EPX_MSG_BROKEN:
        return epx_star_on_broken(star, member, frame);
    default:
        return false;
    }
}

/* False when no rank of ours would send that now. */
static bool take(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    switch (frame->type) {
    case EPX_MSG_NOTICE:
        return epx_star_on_notice(star, member, frame);
    case EPX_MSG_PIECE:
        return epx_star_on_piece(star, member, frame);
    case EPX_MSG_FAREWELL:
        return on_farewell(star, member);
    default:
        return epx_star_is_host(star) ? take_at_host(star, member, frame)
                                      : take_at_guest(star, member, frame);
    }
}

static void take_all(epx_star *star, epx_member *member)
{
    epx_boot_frame frame;
    char why[64];

    while (epx_member_present(member)) {
        switch (epx_conn_next(&member->conn, EPX_STAR_FRAME, &frame)) {
        case EPX_BOOT_FRAME_MORE:
            return;
        case EPX_BOOT_FRAME_BAD:
            epx_star_lose(star, member, epx_last_error());
            return;
        case EPX_BOOT_FRAME_READY:
            if (take(star, member, &frame))
                break;
            snprintf(why, sizeof(why), "sent a frame of type %u that does not fit", frame.type);
            epx_star_lose(star, member, why);
            return;
        }
    }
}

static void take_end(epx_star *star, epx_member *member)
{
    if (member->left)
        epx_conn_close(&member->conn);
    else
        epx_star_lose(star, member,
                      member->conn.error != 0 ? strerror(member->conn.error)
                                              : "closed its connection without a farewell");
}

/* What came together with the last words of the handshake: no descriptor tells of it any more. */
static void take_early(epx_star *star)
{
    int32_t i;

    for (i = 0; i < star->num_members; i++) {
        take_all(star, &star->members[i]);
        if (star->members[i].conn.fd >= 0 && star->members[i].conn.ended)
            take_end(star, &star->members[i]);
    }
}

static bool serve(epx_star *star, epx_member *member)
{
    bool moved = false;
    int turn;

    for (turn = 0; turn < READS_IN_A_ROW && epx_conn_fill(&member->conn); turn++) {
        moved = true;
        take_all(star, member);
        if (member->conn.fd >= 0 && member->conn.ended)
            take_end(star, member);
    }
    return moved;
}

static bool star_step(epx_boot *boot)
{
    epx_star *star = (epx_star *)boot;
    struct epoll_event events[EVENTS];
    int i, count = epoll_wait(boot->fd, events, EVENTS, 0);
    bool moved = false;

    for (i = 0; i < count; i++) {
        epx_member *member = &star->members[events[i].data.u32];

        moved |= serve(star, member);
        if ((events[i].events & EPOLLOUT) != 0)
            moved = true;
        epx_star_pump(star, member);
    }
    if (star->stir)
        epx_star_pump_all(star);
    else if (moved)
        epx_star_gather_settle(star);
    return moved;
}

static void star_wait(epx_boot *boot, uint64_t until_ns)
{
    struct pollfd p = {.fd = boot->fd, .events = POLLIN};
    uint64_t now = epx_clock_ns(), left = until_ns > now ? until_ns - now : 0;
    struct timespec t = {.tv_sec = (time_t)(left / 1000000000),
                         .tv_nsec = (long)(left % 1000000000)};

    ppoll(&p, 1, &t, NULL);
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* What was said before the end is read and dropped: closing on unread bytes would reset the
 * connection, and with it our farewell. */
static void hang_up(epx_member *member, bool graceful)
{
    if (member->conn.fd < 0)
        return;
    if (graceful && epx_member_present(member))
        epx_conn_put(&member->conn, EPX_MSG_FAREWELL, NULL, 0);
    epx_conn_flush(&member->conn);
    shutdown(member->conn.fd, SHUT_WR);
    while (!member->conn.ended && epx_conn_fill(&member->conn))
        member->conn.in_begin = member->conn.in_end;
    epx_conn_close(&member->conn);
}

static void star_close(epx_boot *boot, bool graceful)
{
    epx_star *star = (epx_star *)boot;
    int32_t i;

    for (i = 0; i < star->num_members; i++)
        hang_up(&star->members[i], graceful);
    if (boot->fd >= 0)
        close(boot->fd);
    epx_mem_free(star->heard);
    epx_mem_free(star->lost);
    epx_mem_free(star->scratch);
    epx_mem_release(star->buffers, star->buffers_bytes);
    epx_mem_free(star->members);
    epx_auth_wipe(boot->key, sizeof(boot->key));
    epx_mem_free(star);
}

static const epx_boot_ops star_ops = {
    .gather_start = epx_star_gather_start,
    .gather_done = epx_star_gather_done,
    .gather_cancel = epx_star_gather_cancel,
    .step = star_step,
    .hear = epx_star_hear,
    .tell = epx_star_tell,
    .wait = star_wait,
    .close = star_close,
};

static epx_status make_members(epx_star *star, int32_t count)
{
    size_t each = EPX_STAR_IN + EPX_STAR_OUT + EPX_EARLY;
    int32_t i;

    star->members = epx_mem_alloc("boot members", (size_t)count, sizeof(epx_member));
    if (star->members == NULL)
        return EPX_ERR_NO_MEMORY;
    star->num_members = count;
    for (i = 0; i < star->num_members; i++)
        epx_conn_init(&star->members[i].conn, -1, NULL, 0, 0);
    if (!epx_mul_size((size_t)star->num_members, each, &star->buffers_bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "boot buffers of %d ranks", star->num_members);
    star->buffers = epx_mem_reserve("boot buffers", star->buffers_bytes);
    if (star->buffers == NULL)
        return EPX_ERR_NO_MEMORY;
    for (i = 0; i < star->num_members; i++) {
        epx_member *member = &star->members[i];
        uint8_t *buffer = star->buffers + (size_t)i * each;

        member->rank = epx_star_is_host(star) ? i : 0;
        member->early = buffer + EPX_STAR_IN + EPX_STAR_OUT;
        epx_conn_init(&member->conn, -1, buffer, EPX_STAR_IN, EPX_STAR_OUT);
    }
    return EPX_OK;
}

static epx_status make_star(epx_star *star, const epx_star_config *cfg)
{
    size_t size = (size_t)cfg->ident.claim.world_size;
    epx_status st;

    star->boot.ops = &star_ops;
    star->boot.rank = cfg->ident.claim.rank;
    star->boot.size = cfg->ident.claim.world_size;
    star->boot.keyed = cfg->ident.claim.keyed;
    snprintf(star->boot.launcher, sizeof(star->boot.launcher), "%s", cfg->launcher);
    star->boot.fd = epoll_create1(EPOLL_CLOEXEC);
    if (star->boot.fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "epoll_create1: %s", strerror(errno));
    st = make_members(star, epx_star_is_host(star) ? star->boot.size : 1);
    if (st != EPX_OK)
        return st;
    star->heard_room = 2 * star->boot.size + EPX_NOTICES_KEPT;
    star->heard = epx_mem_alloc("boot notices", (size_t)star->heard_room, sizeof(*star->heard));
    star->lost = epx_mem_alloc("boot losses", size, sizeof(*star->lost));
    star->scratch = epx_mem_alloc("boot scratch", size, sizeof(*star->scratch));
    if (star->heard == NULL || star->lost == NULL || star->scratch == NULL)
        return EPX_ERR_NO_MEMORY;
    return EPX_OK;
}

/* Where this rank can be reached: on the interface that was chosen, else on the connection's. */
static epx_status place(epx_star *star, const epx_star_config *cfg)
{
    int fd = epx_star_is_host(star) ? cfg->listen_fd : star->members[0].conn.fd;
    epx_addr addr;
    epx_status st = epx_addr_of_socket(fd, &addr);

    if (st == EPX_OK && cfg->interface[0] != '\0')
        st = epx_iface_address(cfg->interface, addr.sa.ss_family, &addr);
    if (st != EPX_OK)
        return st;
    epx_addr_number(&addr, star->boot.address, sizeof(star->boot.address));
    if (cfg->interface[0] != '\0')
        snprintf(star->boot.interface, sizeof(star->boot.interface), "%s", cfg->interface);
    else
        epx_iface_name(&addr, star->boot.interface, sizeof(star->boot.interface));
    return EPX_OK;
}

epx_status epx_star_open(const epx_star_config *cfg, epx_boot **boot_out)
{
    epx_star *star = epx_mem_alloc("boot star", 1, sizeof(*star));
    epx_status st;

    if (star == NULL)
        return EPX_ERR_NO_MEMORY;
    star->boot.fd = -1;
    st = make_star(star, cfg);
    if (st == EPX_OK)
        st = epx_star_is_host(star) ? epx_star_host(star, cfg) : epx_star_join(star, cfg);
    if (st == EPX_OK)
        st = place(star, cfg);
    if (st != EPX_OK) {
        star_close(&star->boot, false);
        return st;
    }
    take_early(star);
    *boot_out = &star->boot;
    return EPX_OK;
}
