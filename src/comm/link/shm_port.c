/* shm_port.c - opens ports: each rank's memory holds one ring for each of its peers.
 *
 * The memory begins with what its owner believes about the port. Peers compare that with their own
 * arguments and find their ring in it, so the lists of peers may differ from rank to rank. */
#include <string.h>
#include <unistd.h>

#include "comm/link/shm_ring.h"
#include "core/mem.h"
#include "core/memfd.h"
#include "core/size.h"

#define PAGE 4096

static const char what[] = "shm port";

/* Complete before the memory is passed, only read afterwards. */
typedef struct port_head {
    uint64_t slot_bytes;
    uint32_t id;
    uint32_t depth;
    int32_t num_peers;
    int32_t peers[]; /* [num_peers] root ranks: who sends into which ring */
} port_head;

/* Where things lie: port_head, the rings' heads, the rings' slots. */
typedef struct port_layout {
    size_t heads;
    size_t head_bytes; /* of one ring */
    size_t slots;
    size_t slots_bytes; /* of one ring */
    size_t total;
} port_layout;

static bool lay_out(uint64_t slot_bytes, uint32_t depth, int32_t num_peers, port_layout *layout_out)
{
    size_t peers = (size_t)num_peers, all_heads, all_slots;
    port_layout at;

    at.heads = epx_align(sizeof(port_head) + peers * sizeof(int32_t), EPX_SHM_LINE);
    at.head_bytes = epx_align(sizeof(epx_shm_ring_head) + depth * sizeof(uint64_t), EPX_SHM_LINE);
    if (!epx_mul_size(at.head_bytes, peers, &all_heads) ||
        !epx_add_size(at.heads, all_heads + PAGE, &at.slots))
        return false;
    at.slots = epx_align(at.slots - PAGE, PAGE);
    if (!epx_mul_size(slot_bytes, depth, &at.slots_bytes) ||
        !epx_mul_size(at.slots_bytes, peers, &all_slots) ||
        !epx_add_size(at.slots, all_slots, &at.total))
        return false;
    *layout_out = at;
    return true;
}

static epx_shm_ring ring_at(void *base, const port_layout *at, int32_t index)
{
    unsigned char *bytes = base;

    return (epx_shm_ring){
        .shared = (void *)(bytes + at->heads + (size_t)index * at->head_bytes),
        .slots = bytes + at->slots + (size_t)index * at->slots_bytes,
    };
}

static epx_status alloc_port(epx_shm *shm, const epx_port_config *cfg, epx_shm_port **port_out)
{
    size_t n = (size_t)cfg->num_peers;
    epx_shm_port *port = epx_mem_alloc(what, 1, sizeof(*port));
    int32_t *peers, i;

    if (port == NULL)
        return EPX_ERR_NO_MEMORY;
    port->base = (epx_port){.link = &shm->base, .config = *cfg};
    peers = epx_mem_alloc(what, n, sizeof(*peers));
    port->base.config.peers = peers;
    port->theirs = epx_mem_alloc(what, n, sizeof(*port->theirs));
    port->their_bytes = epx_mem_alloc(what, n, sizeof(*port->their_bytes));
    port->members = epx_mem_alloc(what, n, sizeof(*port->members));
    port->in = epx_mem_alloc(what, n, sizeof(*port->in));
    port->out = epx_mem_alloc(what, n, sizeof(*port->out));
    if (peers == NULL || port->theirs == NULL || port->their_bytes == NULL ||
        port->members == NULL || port->in == NULL || port->out == NULL) {
        epx_shm_port_close(&port->base);
        return EPX_ERR_NO_MEMORY;
    }
    memcpy(peers, cfg->peers, n * sizeof(*peers));
    for (i = 0; i < cfg->num_peers; i++)
        port->members[i] = epx_shm_find(shm, peers[i]);
    *port_out = port;
    return EPX_OK;
}

/* Makes the own memory, which the peers will fill; *fd_out is to be passed. */
static epx_status make_own(epx_shm_port *port, int *fd_out)
{
    const epx_port_config *cfg = &port->base.config;
    port_layout at;
    port_head *head;
    epx_status st;
    int32_t i;

    if (!lay_out(cfg->slot_bytes, cfg->depth, cfg->num_peers, &at))
        return epx_fail(EPX_ERR_OVERFLOW, "%s %u: %d x %u slots of %zu bytes do not fit", what,
                        cfg->id, cfg->num_peers, cfg->depth, cfg->slot_bytes);
    st = epx_memfd_create(what, at.total, fd_out);
    if (st != EPX_OK)
        return st;
    st = epx_memfd_map(what, *fd_out, at.total, &port->own);
    if (st != EPX_OK)
        return st;
    port->own_bytes = at.total;
    head = port->own;
    head->slot_bytes = cfg->slot_bytes;
    head->id = cfg->id;
    head->depth = cfg->depth;
    head->num_peers = cfg->num_peers;
    memcpy(head->peers, cfg->peers, (size_t)cfg->num_peers * sizeof(*cfg->peers));
    for (i = 0; i < cfg->num_peers; i++)
        port->in[i] = ring_at(port->own, &at, i);
    return EPX_OK;
}

/* The ring that this rank fills in a peer's memory. Nothing in it is believed unchecked. */
static epx_status find_ring(epx_shm_port *port, int32_t peer, const port_head *head, size_t bytes)
{
    const epx_port_config *cfg = &port->base.config;
    int32_t rank = port->base.link->rank, num_peers = head->num_peers, i;
    port_layout at;

    if (head->slot_bytes != cfg->slot_bytes || head->depth != cfg->depth || head->id != cfg->id)
        return epx_fail(EPX_ERR_MISMATCH,
                        "shm port %u: %u slots of %zu bytes at rank %d, port %u: %u of %zu at "
                        "rank %d",
                        cfg->id, cfg->depth, cfg->slot_bytes, rank, head->id, head->depth,
                        (size_t)head->slot_bytes, cfg->peers[peer]);
    if (num_peers < 1 || (size_t)num_peers > bytes / sizeof(epx_shm_ring_head) ||
        !lay_out(cfg->slot_bytes, cfg->depth, num_peers, &at) || at.total != bytes)
        return epx_fail(EPX_ERR_MISMATCH, "shm port %u: rank %d offered %zu bytes for %d peers",
                        cfg->id, cfg->peers[peer], bytes, num_peers);
    for (i = 0; i < num_peers; i++) {
        if (head->peers[i] != rank)
            continue;
        port->out[peer] = ring_at(port->theirs[peer], &at, i);
        return EPX_OK;
    }
    return epx_fail(EPX_ERR_MISMATCH, "shm port %u: rank %d is no peer of rank %d", cfg->id, rank,
                    cfg->peers[peer]);
}

static epx_status take_theirs(epx_shm_port *port, int32_t peer, int fd)
{
    size_t bytes = 0;
    epx_status st = epx_memfd_check(what, fd, &bytes);

    if (st != EPX_OK)
        return st;
    if (bytes < PAGE)
        return epx_fail(EPX_ERR_MISMATCH, "%s: a peer offered %zu bytes", what, bytes);
    st = epx_memfd_map(what, fd, bytes, &port->theirs[peer]);
    if (st != EPX_OK)
        return st;
    port->their_bytes[peer] = bytes;
    return find_ring(port, peer, port->theirs[peer], bytes);
}

static epx_status take_all(epx_shm *shm, epx_shm_port *port)
{
    epx_status st = EPX_OK;
    int32_t i;

    for (i = 0; i < port->base.config.num_peers && st == EPX_OK; i++)
        if (port->base.config.peers[i] == shm->base.rank)
            port->out[i] = port->in[i];
        else
            st = take_theirs(port, i, shm->fds[i]);
    return st;
}

epx_status epx_shm_port_open(epx_link *link, const epx_port_config *cfg, epx_port **port_out)
{
    epx_shm *shm = epx_shm_of(link);
    epx_shm_port *port = NULL;
    epx_status st;
    int own_fd = -1;

    st = epx_port_check(link->ops->name, cfg);
    if (st == EPX_OK)
        st = epx_shm_check_peers(shm, cfg->peers, cfg->num_peers);
    if (st != EPX_OK)
        return st;
    st = alloc_port(shm, cfg, &port);
    if (st == EPX_OK)
        st = make_own(port, &own_fd);
    st = epx_shm_pass(shm, EPX_SHM_PORT, cfg->id, cfg->peers, cfg->num_peers, &own_fd, 1, st);
    if (st == EPX_OK && port != NULL) {
        st = take_all(shm, port);
        epx_shm_close_fds(shm->fds, cfg->num_peers);
    }
    epx_shm_close_fds(&own_fd, 1);
    if (st != EPX_OK) {
        if (port != NULL)
            epx_shm_port_close(&port->base);
        return st;
    }
    *port_out = &port->base;
    return EPX_OK;
}

void epx_shm_port_close(epx_port *base)
{
    epx_shm_port *port = (epx_shm_port *)base;
    int32_t i;

    for (i = 0; port->theirs != NULL && i < base->config.num_peers; i++)
        epx_mem_release(port->theirs[i], port->their_bytes == NULL ? 0 : port->their_bytes[i]);
    epx_mem_release(port->own, port->own_bytes);
    epx_mem_free(port->out);
    epx_mem_free(port->in);
    epx_mem_free(port->members);
    epx_mem_free(port->their_bytes);
    epx_mem_free(port->theirs);
    epx_mem_free((void *)(uintptr_t)base->config.peers);
    epx_mem_free(port);
}
