/* shm_ring.c - sending and receiving through the rings of an open port. */
#include "comm/link/shm_ring.h"

static bool bad_peer(const epx_shm_port *port, int32_t peer)
{
    return peer < 0 || peer >= port->base.config.num_peers;
}

static unsigned char *slot_at(const epx_shm_port *port, const epx_shm_ring *ring, uint64_t number)
{
    return ring->slots + number % port->base.config.depth * port->base.config.slot_bytes;
}

/* True if a slot is free. The look at `tail` that decides against it comes after `wanted` is set;
 * the receiver stores `tail` before it looks at `wanted`. All four are sequentially consistent, so
 * either the slot is seen here or the receiver rings. */
static bool has_room(const epx_shm_port *port, epx_shm_ring *ring, uint64_t room)
{
    if (ring->count - ring->seen + room <= port->base.config.depth)
        return true;
    /* Acquire: pairs with the store in release(), so the receiver is done with the slot. */
    ring->seen = atomic_load_explicit(&ring->shared->tail, memory_order_acquire);
    if (ring->count - ring->seen + room <= port->base.config.depth)
        return true;
    atomic_store(&ring->shared->wanted, 1);
    ring->seen = atomic_load(&ring->shared->tail);
    return ring->count - ring->seen + room <= port->base.config.depth;
}

void *epx_shm_reserve(epx_port *base, int32_t peer)
{
    epx_shm_port *port = (epx_shm_port *)base;

    if (bad_peer(port, peer) || port->members[peer]->failed)
        return NULL;
    if (!has_room(port, &port->out[peer], 1))
        return NULL;
    return slot_at(port, &port->out[peer], port->out[peer].count);
}

epx_status epx_shm_put(epx_port *base, int32_t peer, size_t bytes)
{
    epx_shm_port *port = (epx_shm_port *)base;
    const epx_port_config *cfg = &base->config;
    epx_shm_ring *ring;

    if (bad_peer(port, peer))
        return epx_fail(EPX_ERR_INVALID, "shm port %u: put to peer %d of %d", cfg->id, peer,
                        cfg->num_peers);
    if (bytes > cfg->slot_bytes)
        return epx_fail(EPX_ERR_INVALID, "shm port %u: put of %zu bytes into slots of %zu", cfg->id,
                        bytes, cfg->slot_bytes);
    ring = &port->out[peer];
    if (ring->count - ring->seen >= cfg->depth)
        return epx_fail(EPX_ERR_INVALID, "shm port %u: put to rank %d without a reserved slot",
                        cfg->id, cfg->peers[peer]);
    ring->shared->bytes[ring->count % cfg->depth] = bytes;
    ring->count++;
    /* Release: pairs with the acquire in peek(); slot and length are visible before. */
    atomic_store_explicit(&ring->shared->head, ring->count, memory_order_release);
    epx_shm_ring_bell(port->members[peer]);
    return EPX_OK;
}

void *epx_shm_peek(epx_port *base, int32_t peer, size_t *bytes_out)
{
    epx_shm_port *port = (epx_shm_port *)base;
    epx_shm_ring *ring;
    uint64_t bytes;

    if (bad_peer(port, peer) || port->members[peer]->failed)
        return NULL;
    ring = &port->in[peer];
    if (ring->seen == ring->count) {
        /* Acquire: pairs with the store in put(). */
        ring->seen = atomic_load_explicit(&ring->shared->head, memory_order_acquire);
        if (ring->seen == ring->count)
            return NULL;
    }
    bytes = ring->shared->bytes[ring->count % base->config.depth];
    if (ring->seen - ring->count > base->config.depth || bytes > base->config.slot_bytes) {
        epx_shm_distrust(port->members[peer]);
        return NULL;
    }
    *bytes_out = (size_t)bytes;
    return slot_at(port, ring, ring->count);
}

epx_status epx_shm_release(epx_port *base, int32_t peer)
{
    epx_shm_port *port = (epx_shm_port *)base;
    epx_shm_ring *ring;

    if (bad_peer(port, peer) || port->in[peer].seen == port->in[peer].count)
        return epx_fail(EPX_ERR_INVALID, "shm port %u: nothing to release of peer %d",
                        base->config.id, peer);
    ring = &port->in[peer];
    ring->count++;
    /* Sequentially consistent for has_room(); also releases the slot to the sender. */
    atomic_store(&ring->shared->tail, ring->count);
    if (atomic_load(&ring->shared->wanted) != 0 && atomic_exchange(&ring->shared->wanted, 0) != 0)
        epx_shm_ring_bell(port->members[peer]);
    return EPX_OK;
}

/* Empty rings have room for `depth` more; asking for it makes the last release ring. */
bool epx_shm_drained(const epx_port *base)
{
    const epx_shm_port *port = (const epx_shm_port *)base;
    int32_t i;

    for (i = 0; i < base->config.num_peers; i++)
        if (!port->members[i]->failed && !has_room(port, &port->out[i], base->config.depth))
            return false;
    return true;
}
