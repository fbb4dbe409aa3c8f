/* shm.c - opens and closes the link: every member shows a control page and gives an eventfd to the
 * others. A rank alone is the same link without anyone else. */
#include "comm/link/shm.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "comm/link/shm_link.h"
#include "core/mem.h"
#include "core/memfd.h"

static const char what[] = "shm control page";

epx_shm_member *epx_shm_find(epx_shm *shm, int32_t rank)
{
    if (rank < 0 || rank > shm->members[shm->count - 1].rank || shm->index_of[rank] < 0)
        return NULL;
    return &shm->members[shm->index_of[rank]];
}

epx_status epx_shm_check_peers(epx_shm *shm, const int32_t *peers, int32_t count)
{
    int32_t i;

    for (i = 0; i < count; i++)
        if (epx_shm_find(shm, peers[i]) == NULL)
            return epx_fail(EPX_ERR_INVALID, "%s: rank %d is not on the node of rank %d",
                            shm->base.ops->name, peers[i], shm->base.rank);
    return EPX_OK;
}

static void ring_rank(epx_link *link, int32_t peer)
{
    epx_shm_member *member = epx_shm_find(epx_shm_of(link), peer);

    if (member != NULL)
        epx_shm_ring_bell(member);
}

static int list_fds(const epx_link *link, int *fds)
{
    const epx_shm *shm = (const epx_shm *)link;
    int n = 0;

    fds[n++] = shm->members[shm->self].bell_fd;
    if (shm->epoll_fd >= 0)
        fds[n++] = shm->epoll_fd;
    return n;
}

static void fail_rank(epx_link *link, int32_t rank)
{
    epx_shm_member *member = epx_shm_find(epx_shm_of(link), rank);

    if (member != NULL && rank != link->rank)
        member->failed = true;
}

static void free_shm(epx_shm *shm)
{
    int32_t i;

    for (i = 0; i < shm->count; i++) {
        epx_mem_release(shm->members[i].control, sizeof(epx_shm_control));
        epx_shm_close_fds(&shm->members[i].bell_fd, 1);
    }
    epx_shm_close_fds(&shm->epoll_fd, 1);
    epx_mem_free(shm->index_of);
    epx_mem_free(shm->fds);
    epx_mem_free(shm);
}

static void close_shm(epx_link *link)
{
    epx_shm *shm = epx_shm_of(link);

    /* Release: pairs with the acquire of whoever sees this rank's sockets end. */
    atomic_store_explicit(&epx_shm_self(shm)->control->closing, 1, memory_order_release);
    free_shm(shm);
}

static const epx_link_ops shm_ops = {
    .name = "shm",
    .mapped = true,
    .port_open = epx_shm_port_open,
    .port_close = epx_shm_port_close,
    .reserve = epx_shm_reserve,
    .put = epx_shm_put,
    .peek = epx_shm_peek,
    .release = epx_shm_release,
    .drained = epx_shm_drained,
    .window_open = epx_shm_window_open,
    .window_close = epx_shm_window_close,
    .ring = ring_rank,
    .progress = epx_shm_progress,
    .arm = epx_shm_arm,
    .fds = list_fds,
    .woken = epx_shm_woken,
    .hear = epx_shm_hear,
    .tell = epx_shm_tell,
    .fail = fail_rank,
    .close = close_shm,
};

static epx_status check_members(int32_t rank, const int32_t *members, int32_t count,
                                const epx_mesh *mesh)
{
    int32_t i, found = 0;

    if (members == NULL || count < 1 || (count > 1 && mesh == NULL))
        return epx_fail(EPX_ERR_INVALID, "shm: %d members", count);
    for (i = 0; i < count; i++) {
        if (members[i] < 0 || (i > 0 && members[i] <= members[i - 1]))
            return epx_fail(EPX_ERR_INVALID, "shm: member %d is rank %d", i, members[i]);
        found += members[i] == rank;
    }
    if (found == 0)
        return epx_fail(EPX_ERR_INVALID, "shm: rank %d is not among its members", rank);
    return EPX_OK;
}

static epx_status alloc_shm(int32_t rank, const int32_t *members, int32_t count, epx_shm **shm_out)
{
    size_t ranks = (size_t)members[count - 1] + 1;
    epx_shm *shm =
        epx_mem_alloc("shm link", 1, sizeof(*shm) + (size_t)count * sizeof(shm->members[0]));
    int32_t i;

    if (shm == NULL)
        return EPX_ERR_NO_MEMORY;
    shm->count = count;
    shm->epoll_fd = -1;
    for (i = 0; i < count; i++)
        shm->members[i] = (epx_shm_member){.rank = members[i], .bell_fd = -1, .socket = -1};
    shm->index_of = epx_mem_alloc("shm members", ranks, sizeof(*shm->index_of));
    shm->fds = epx_mem_alloc("shm descriptors", (size_t)count * EPX_SHM_MAX_PASS, sizeof(int));
    if (shm->index_of == NULL || shm->fds == NULL) {
        free_shm(shm);
        return EPX_ERR_NO_MEMORY;
    }
    memset(shm->index_of, 0xff, ranks * sizeof(*shm->index_of)); /* -1 */
    for (i = 0; i < count; i++) {
        shm->index_of[members[i]] = i;
        if (members[i] == rank)
            shm->self = i;
    }
    *shm_out = shm;
    return EPX_OK;
}

/* The own bell and the epoll over the others' sockets. */
static epx_status open_waiting(epx_shm *shm)
{
    epx_shm_self(shm)->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epx_shm_self(shm)->bell_fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "shm: eventfd: %s", strerror(errno));
    if (shm->count == 1)
        return EPX_OK;
    shm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (shm->epoll_fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "shm: epoll_create1: %s", strerror(errno));
    return epx_shm_watch(shm);
}

static epx_status map_control(epx_shm_member *member, int fd)
{
    void *base = NULL;
    epx_status st = epx_memfd_map(what, fd, sizeof(epx_shm_control), &base);

    member->control = base;
    return st;
}

/* Maps what the others gave: control page and eventfd of each, side by side. */
static epx_status take_members(epx_shm *shm)
{
    epx_status st = EPX_OK;
    int32_t i;

    for (i = 0; i < shm->count && st == EPX_OK; i++) {
        if (i == shm->self)
            continue;
        st = map_control(&shm->members[i], shm->fds[2 * i]);
        shm->members[i].bell_fd = shm->fds[2 * i + 1];
        shm->fds[2 * i + 1] = -1;
    }
    epx_shm_close_fds(shm->fds, 2 * shm->count);
    return st;
}

static epx_status meet_members(epx_shm *shm, const int32_t *members)
{
    epx_shm_member *self = epx_shm_self(shm);
    int mine[EPX_SHM_MAX_PASS] = {-1, self->bell_fd};
    epx_status st = epx_memfd_create(what, sizeof(epx_shm_control), &mine[0]);

    if (st == EPX_OK)
        st = map_control(self, mine[0]);
    st = epx_shm_pass(shm, EPX_SHM_CONTROL, 0, members, shm->count, mine, 2, st);
    epx_shm_close_fds(&mine[0], 1);
    return st == EPX_OK ? take_members(shm) : st;
}

epx_status epx_shm_open(int32_t rank, const int32_t *members, int32_t count, epx_mesh *mesh,
                        uint32_t timeout_ms, epx_link **link_out)
{
    epx_status st = check_members(rank, members, count, mesh);
    epx_shm *shm = NULL;

    if (st != EPX_OK)
        return st;
    st = alloc_shm(rank, members, count, &shm);
    if (st != EPX_OK)
        return st;
    shm->ops = shm_ops;
    if (count == 1)
        shm->ops.name = "self";
    shm->base = (epx_link){.ops = &shm->ops, .rank = rank};
    shm->mesh = mesh;
    shm->timeout_ms = timeout_ms;
    st = open_waiting(shm);
    if (st == EPX_OK)
        st = meet_members(shm, members);
    if (st != EPX_OK) {
        free_shm(shm);
        return st;
    }
    *link_out = &shm->base;
    return EPX_OK;
}
