/* mesh_open.c - connecting every pair of neighbours, once.
 *
 * Everybody listens before names are gathered. Then the lower rank of a pair connects and sends its
 * proof at once, and a second gather tells which connections were possible: a rank waits for those
 * that it knows to be under way and for no others, so both sides of a pair agree. One message each
 * way; the random parts of both names, gathered over the authenticated boot, are the nonces. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "comm/boot/auth.h"
#include "comm/boot/bytes.h"
#include "comm/boot/mesh_knock.h"
#include "comm/boot/message.h"
#include "core/clock.h"
#include "core/mem.h"

#define FULL_MS 5    /* between looks at a full waiting list */
#define STRANGERS 64 /* silent connections, beyond those of the candidates */

static epx_status prepare(epx_meshing *m, const int32_t *candidates, int32_t count)
{
    size_t size = (size_t)m->boot->size;
    int32_t i;

    m->waiting_room = count + STRANGERS;
    m->pairs = epx_mem_alloc("mesh pairs", size, sizeof(*m->pairs));
    m->late = epx_mem_alloc("mesh lateness", size, sizeof(*m->late));
    m->row = epx_mem_alloc("mesh row", 1, m->row_bytes);
    m->rows = epx_mem_alloc("mesh rows", size, m->row_bytes);
    m->waiting = epx_mem_alloc("mesh knocks", (size_t)m->waiting_room, sizeof(*m->waiting));
    m->polls = epx_mem_alloc("mesh polls", size + (size_t)m->waiting_room + 2, sizeof(*m->polls));
    if (m->pairs == NULL || m->late == NULL || m->row == NULL || m->rows == NULL ||
        m->waiting == NULL || m->polls == NULL)
        return EPX_ERR_NO_MEMORY;
    m->mesh->size = m->boot->size;
    m->mesh->peers = epx_mem_alloc("mesh", size, sizeof(*m->mesh->peers));
    if (m->mesh->peers == NULL)
        return EPX_ERR_NO_MEMORY;
    for (i = 0; i < m->boot->size; i++)
        m->mesh->peers[i].fd = -1;
    for (i = 0; i < count; i++) {
        if (candidates[i] < 0 || candidates[i] >= m->boot->size)
            return epx_fail(EPX_ERR_INVALID, "mesh candidate %d of %d ranks", candidates[i],
                            m->boot->size);
        if (candidates[i] > m->boot->rank)
            m->pairs[candidates[i]] = EPX_PAIR_TO_KNOCK;
    }
    return EPX_OK;
}

static epx_status exchange_names(epx_meshing *m, int32_t count, epx_status prepared)
{
    uint8_t mine[EPX_MESH_CARD] = {0};
    epx_status st = prepared;
    int32_t i, status;

    epx_auth_random(mine + 4, EPX_MESH_NAME);
    if (st == EPX_OK && count > 1)
        st = epx_mesh_listen(m, mine + 4);
    epx_put_u32(mine, (uint32_t)st);
    prepared = st;
    st = epx_boot_allgather(m->boot, mine, sizeof(mine), m->cards, m->timeout_ms);
    if (prepared != EPX_OK)
        return prepared;
    for (i = 0; st == EPX_OK && i < m->boot->size; i++) {
        epx_get_i32(m->cards + (size_t)i * EPX_MESH_CARD, &status);
        if (status != EPX_OK)
            st = epx_fail(EPX_ERR_ABORTED, "rank %d could not listen on a Unix socket: %s", i,
                          epx_status_name((epx_status)status));
    }
    return st;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static bool any_pair(const epx_meshing *m, epx_pair state)
{
    int32_t i;

    for (i = 0; i < m->boot->size; i++)
        if (m->pairs[i] == state)
            return true;
    return false;
}

static epx_status expired(const epx_meshing *m)
{
    char names[128];
    int32_t i;

    for (i = 0; i < m->boot->size; i++)
        m->late[i] = m->pairs[i] != EPX_PAIR_NONE && m->pairs[i] != EPX_PAIR_DONE;
    epx_ranks_text(m->late, m->boot->size, names, sizeof(names));
    return epx_fail(EPX_ERR_TIMEOUT, "%s did not connect Unix sockets within %u ms", names,
                    m->timeout_ms);
}

/* Sleeps until a knock, an answer, or (boot_too) news over the boot. */
static epx_status sleep_for_news(epx_meshing *m, bool boot_too, int limit_ms)
{
    bool full = m->num_waiting == m->waiting_room; /* then the queue is left alone for a while */
    uint64_t now = epx_clock_ns();
    nfds_t n = 0;
    int32_t i;

    if (now >= m->until_ns)
        return expired(m);
    if (full && limit_ms > FULL_MS)
        limit_ms = FULL_MS;
    m->polls[n++] = (struct pollfd){.fd = full ? -1 : m->listen_fd, .events = POLLIN};
    m->polls[n++] = (struct pollfd){.fd = boot_too ? m->boot->fd : -1, .events = POLLIN};
    for (i = 0; i < m->num_waiting; i++)
        m->polls[n++] = (struct pollfd){.fd = m->waiting[i].fd, .events = POLLIN};
    for (i = m->boot->rank + 1; i < m->boot->size; i++)
        if (m->pairs[i] == EPX_PAIR_KNOCKED)
            m->polls[n++] = (struct pollfd){.fd = m->mesh->peers[i].fd, .events = POLLIN};
    poll(m->polls, n, epx_deadline_left_ms(m->until_ns, now, limit_ms));
    return EPX_OK;
}

static epx_status knock_everywhere(epx_meshing *m)
{
    epx_status st = EPX_OK;
    int32_t i;

    for (;;) {
        for (i = m->boot->rank + 1; i < m->boot->size; i++)
            if (m->pairs[i] == EPX_PAIR_TO_KNOCK)
                epx_mesh_knock(m, i);
        if (!any_pair(m, EPX_PAIR_TO_KNOCK))
            return EPX_OK;
        st = epx_mesh_hear(m); /* somebody's queue is full; maybe it is the same with ours */
        if (st == EPX_OK)
            st = sleep_for_news(m, false, 1);
        if (st != EPX_OK)
            return st;
    }
}

/* The second gather, during which knocks are heard. */
static epx_status exchange_rows(epx_meshing *m)
{
    epx_boot *boot = m->boot;
    epx_status st = boot->ops->gather_start(boot, m->row, m->row_bytes, m->rows), heard = EPX_OK;
    int32_t i, self = boot->rank;

    if (st != EPX_OK)
        return st;
    while (!boot->ops->gather_done(boot, &st)) {
        if (heard == EPX_OK)
            heard = epx_mesh_hear(m);
        if (!boot->ops->step(boot) && heard == EPX_OK)
            heard = sleep_for_news(m, true, 1000);
        if (heard != EPX_OK) {
            if (boot->ops->gather_cancel != NULL)
                boot->ops->gather_cancel(boot, m->timeout_ms);
            return heard;
        }
    }
    for (i = 0; st == EPX_OK && i < self; i++) {
        uint8_t reach = m->rows[(size_t)i * m->row_bytes + (size_t)self / 8];

        if ((reach >> self % 8 & 1) != 0 && m->pairs[i] != EPX_PAIR_DONE)
            m->pairs[i] = EPX_PAIR_EXPECTED;
    }
    return st;
}

static epx_status finish_pairs(epx_meshing *m)
{
    epx_status st = epx_mesh_hear(m);

    while (st == EPX_OK && (any_pair(m, EPX_PAIR_EXPECTED) || any_pair(m, EPX_PAIR_KNOCKED))) {
        st = sleep_for_news(m, false, 1000);
        if (st == EPX_OK)
            st = epx_mesh_hear(m);
    }
    return st;
}

static void cleanup(epx_meshing *m)
{
    int i;

    for (i = 0; i < m->num_waiting; i++)
        close(m->waiting[i].fd);
    if (m->listen_fd >= 0)
        close(m->listen_fd);
    epx_mem_free(m->polls);
    epx_mem_free(m->waiting);
    epx_mem_free(m->rows);
    epx_mem_free(m->row);
    epx_mem_free(m->late);
    epx_mem_free(m->pairs);
    epx_mem_free(m->cards);
}

epx_status epx_mesh_open(epx_boot *boot, const int32_t *candidates, int32_t count,
                         uint32_t timeout_ms, epx_mesh **mesh_out)
{
    epx_meshing m = {.boot = boot,
                     .timeout_ms = timeout_ms,
                     .until_ns = epx_deadline(epx_clock_ns(), timeout_ms),
                     .row_bytes = ((size_t)boot->size + 7) / 8,
                     .listen_fd = -1};
    epx_status st = epx_auth_init();

    if (st != EPX_OK)
        return st;
    m.mesh = epx_mem_alloc("mesh", 1, sizeof(*m.mesh));
    m.cards = epx_mem_alloc("mesh names", (size_t)boot->size, EPX_MESH_CARD);
    if (m.mesh == NULL || m.cards == NULL) {
        st = EPX_ERR_NO_MEMORY; /* without them not even the failure can be gathered */
    } else {
        st = exchange_names(&m, count, prepare(&m, candidates, count));
        if (st == EPX_OK)
            st = knock_everywhere(&m);
        if (st == EPX_OK)
            st = exchange_rows(&m);
        if (st == EPX_OK)
            st = finish_pairs(&m);
    }
    cleanup(&m);
    if (st != EPX_OK) {
        epx_mesh_close(m.mesh);
        return st;
    }
    *mesh_out = m.mesh;
    return EPX_OK;
}
