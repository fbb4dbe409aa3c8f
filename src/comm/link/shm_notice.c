/* shm_notice.c - what members tell all others, and how the end of one is heard.
 *
 * A member's latest notices stand in its control page; everyone reads them there. The kernel closes
 * the sockets of a dead process, which ends them at our side: LOST, unless the member had announced
 * that it closes. A member's notices are heard before its end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "comm/link/shm_link.h"
#include "core/clock.h"

#define CHECK_NS EPX_NS_PER_MS /* how often a busy rank looks at the sockets */

_Static_assert(sizeof(epx_notice) % sizeof(uint64_t) == 0, "a notice is copied word by word");

/* Only ends of sockets are waited for: descriptors for an opening that this rank has not entered
 * yet may lie in them, which is no reason to wake. */
epx_status epx_shm_watch(epx_shm *shm)
{
    struct epoll_event event = {.events = EPOLLRDHUP};
    int32_t i;

    for (i = 0; i < shm->count; i++) {
        epx_shm_member *member = &shm->members[i];

        if (i == shm->self)
            continue;
        member->socket = epx_mesh_fd(shm->mesh, member->rank);
        if (member->socket < 0)
            return epx_fail(EPX_ERR_PEER_LOST, "shm: no socket to rank %d", member->rank);
        event.data.u32 = (uint32_t)i;
        if (epoll_ctl(shm->epoll_fd, EPOLL_CTL_ADD, member->socket, &event) < 0) {
            member->socket = -1;
            return epx_fail(EPX_ERR_SYSTEM, "shm: epoll_ctl: %s", strerror(errno));
        }
    }
    return EPX_OK;
}

static void end_member(epx_shm *shm, epx_shm_member *member)
{
    if (member->socket >= 0)
        epoll_ctl(shm->epoll_fd, EPOLL_CTL_DEL, member->socket, NULL);
    member->socket = -1;
    /* Acquire: pairs with the release in the member's close. */
    if (atomic_load_explicit(&member->control->closing, memory_order_acquire) == 0)
        member->lost = true;
}

static void check_sockets(epx_shm *shm)
{
    struct epoll_event events[16];
    uint64_t now;
    int i, n;

    if (shm->epoll_fd < 0)
        return;
    now = epx_clock_ns();
    if (now - shm->checked_ns < CHECK_NS)
        return;
    shm->checked_ns = now;
    n = epoll_wait(shm->epoll_fd, events, 16, 0);
    for (i = 0; i < n; i++)
        end_member(shm, &shm->members[events[i].data.u32]);
}

/* The oldest unheard notice of a member that is still in its page. */
static bool read_notice(epx_shm_member *member, epx_notice *notice_out)
{
    epx_shm_control *control = member->control;
    uint64_t words[EPX_SHM_NOTICE_WORDS], told, number;
    epx_shm_notice *slot;
    size_t i;

    /* Acquire: pairs with the release of `told` in tell(). */
    told = atomic_load_explicit(&control->told, memory_order_acquire);
    if (told - member->heard > EPX_SHM_NOTICES && told > EPX_SHM_NOTICES)
        member->heard = told - EPX_SHM_NOTICES;
    while (member->heard < told) {
        number = ++member->heard;
        slot = &control->notices[(number - 1) % EPX_SHM_NOTICES];
        /* Acquire: pairs with the release of `number` in tell(), so the words are not older. */
        if (atomic_load_explicit(&slot->number, memory_order_acquire) != number)
            continue; /* overwritten by a newer one */
        /* Acquire: none of these loads moves below the second look at `number`; a word newer than
         * the notice makes that look see at least the 0 stored before it. */
        for (i = 0; i < EPX_SHM_NOTICE_WORDS; i++)
            words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
        if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number)
            continue;
        memcpy(notice_out, words, sizeof(*notice_out));
        notice_out->text[sizeof(notice_out->text) - 1] = '\0';
        return true;
    }
    return false;
}

void epx_shm_distrust(epx_shm_member *member)
{
    member->failed = true;
    member->lost = true;
    member->distrusted = true;
}

static void report_lost(epx_shm *shm, epx_shm_member *member, epx_notice *notice_out)
{
    epx_notice notice = {.kind = EPX_NOTICE_LOST,
                         .from = shm->base.rank,
                         .rank = member->rank,
                         .status = EPX_ERR_PEER_LOST};

    member->lost_told = true;
    snprintf(notice.text, sizeof(notice.text),
             member->distrusted ? "rank %d wrote nonsense into a ring of rank %d"
                                : "rank %d ended: its socket to rank %d closed",
             member->rank, shm->base.rank);
    *notice_out = notice;
}

bool epx_shm_hear(epx_link *link, epx_notice *notice_out)
{
    epx_shm *shm = epx_shm_of(link);
    int32_t i;

    check_sockets(shm);
    for (i = 0; i < shm->count; i++)
        if (i != shm->self && read_notice(&shm->members[i], notice_out))
            return true;
    for (i = 0; i < shm->count; i++) {
        if (!shm->members[i].lost || shm->members[i].lost_told)
            continue;
        report_lost(shm, &shm->members[i], notice_out);
        return true;
    }
    return false;
}

void epx_shm_tell(epx_link *link, const epx_notice *notice)
{
    epx_shm *shm = epx_shm_of(link);
    epx_shm_control *control = epx_shm_self(shm)->control;
    uint64_t told = atomic_load_explicit(&control->told, memory_order_relaxed);
    epx_shm_notice *slot = &control->notices[told % EPX_SHM_NOTICES];
    uint64_t words[EPX_SHM_NOTICE_WORDS];
    int32_t i;
    size_t w;

    memcpy(words, notice, sizeof(words));
    atomic_store_explicit(&slot->number, 0, memory_order_relaxed);
    /* Release: a reader that loads one of these words also sees the 0 above or what came later. */
    for (w = 0; w < EPX_SHM_NOTICE_WORDS; w++)
        atomic_store_explicit(&slot->words[w], words[w], memory_order_release);
    /* Release: pair with the acquires in read_notice(). */
    atomic_store_explicit(&slot->number, told + 1, memory_order_release);
    atomic_store_explicit(&control->told, told + 1, memory_order_release);
    for (i = 0; i < shm->count; i++)
        if (i != shm->self)
            epx_shm_ring_bell(&shm->members[i]);
}
