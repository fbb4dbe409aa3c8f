/* ucx_port.c - ports from open to close, and their sending side.
 *
 * A slot is given out only when UCX has let go of its last chunk and the receiver has room for the
 * next. A closed port that UCX still uses is parked; nothing waits for a peer that may be stuck. */
#include "comm/link/ucx_port.h"

#include "core/mem.h"
#include "core/size.h"

/* One slot's bytes of every ring in both directions, or an error. */
static epx_status measure(const epx_port_config *cfg, size_t *slots_out, size_t *bytes_out)
{
    size_t slots = (size_t)cfg->num_peers * cfg->depth, bytes;

    if (!epx_mul_size(slots, cfg->slot_bytes, &bytes) || !epx_mul_size(bytes, 2, &bytes))
        return epx_fail(EPX_ERR_OVERFLOW, "ucx port %u: %zu slots of %zu bytes do not fit", cfg->id,
                        slots, cfg->slot_bytes);
    *slots_out = slots;
    *bytes_out = bytes;
    return EPX_OK;
}

static void free_port(epx_ucx_port *port)
{
    epx_mem_release(port->memory, port->memory_bytes);
    epx_mem_free(port->slots);
    epx_mem_free(port->rings);
    epx_mem_free(port->peers);
    epx_mem_free(port);
}

static void lay_out(epx_ucx_port *port)
{
    const epx_port_config *cfg = &port->head.config;
    size_t ring_bytes = cfg->depth * cfg->slot_bytes;
    epx_ucx_ring *ring;
    uint32_t k;
    int32_t i;

    for (i = 0; i < cfg->num_peers; i++) {
        ring = &port->rings[i];
        ring->port = port;
        ring->rank = cfg->peers[i];
        ring->slots = port->slots + (size_t)i * cfg->depth;
        ring->out = port->memory + (size_t)i * 2 * ring_bytes;
        ring->in = ring->out + ring_bytes;
        for (k = 0; k < cfg->depth; k++)
            ring->slots[k].ring = ring;
    }
}

static epx_status make_port(epx_ucx_link *link, const epx_port_config *cfg, epx_ucx_port **port_out)
{
    epx_ucx_port *port;
    size_t slots = 0, bytes = 0;
    epx_status st = measure(cfg, &slots, &bytes);
    int32_t i;

    if (st != EPX_OK)
        return st;
    port = epx_mem_alloc("UCX port", 1, sizeof(*port));
    if (port == NULL)
        return EPX_ERR_NO_MEMORY;
    port->head.link = &link->head;
    port->head.config = *cfg;
    port->peers = epx_mem_alloc("UCX port peers", (size_t)cfg->num_peers, sizeof(*port->peers));
    port->rings = epx_mem_alloc("UCX rings", (size_t)cfg->num_peers, sizeof(*port->rings));
    port->slots = epx_mem_alloc("UCX slots", slots, sizeof(*port->slots));
    if (port->peers != NULL && port->rings != NULL && port->slots != NULL)
        port->memory = epx_mem_reserve("UCX ring memory", bytes);
    if (port->peers == NULL || port->rings == NULL || port->slots == NULL || port->memory == NULL) {
        free_port(port);
        return EPX_ERR_NO_MEMORY;
    }
    port->memory_bytes = bytes;
    for (i = 0; i < cfg->num_peers; i++)
        port->peers[i] = cfg->peers[i];
    port->head.config.peers = port->peers;
    lay_out(port);
    *port_out = port;
    return EPX_OK;
}

static epx_status check_ranks(const epx_ucx_link *link, const epx_port_config *cfg)
{
    const epx_ucx_port *port;
    int32_t i, rank;

    for (i = 0; i < cfg->num_peers; i++) {
        rank = cfg->peers[i];
        if (rank >= link->size)
            return epx_fail(EPX_ERR_INVALID, "ucx port %u: rank %d of %d", cfg->id, rank,
                            link->size);
        if (link->peers[rank].near && rank != link->head.rank)
            return epx_fail(EPX_ERR_INVALID, "ucx port %u: rank %d is on this node", cfg->id, rank);
    }
    for (port = link->ports; port != NULL; port = port->next)
        if (port->head.config.id == cfg->id)
            return epx_fail(EPX_ERR_INVALID, "ucx port %u is open already", cfg->id);
    return EPX_OK;
}

/* Receives first: an endpoint invites the peer to send. */
static epx_status start_rings(epx_ucx_link *link, epx_ucx_port *port)
{
    const epx_port_config *cfg = &port->head.config;
    epx_status st;
    uint32_t k;
    int32_t i;

    epx_ucx_drop_strays(link, cfg->id);
    for (i = 0; i < cfg->num_peers; i++)
        for (k = 0; k < cfg->depth; k++) {
            st = epx_ucx_post(&port->rings[i], k);
            if (st != EPX_OK)
                return st;
        }
    if (cfg->num_peers > EPX_UCX_EAGER_PEERS)
        return EPX_OK;
    for (i = 0; i < cfg->num_peers; i++)
        epx_ucx_reach(link, cfg->peers[i]); /* a failure is heard as a loss */
    return EPX_OK;
}

epx_status epx_ucx_port_open(epx_link *base, const epx_port_config *cfg, epx_port **port_out)
{
    epx_ucx_link *link = (epx_ucx_link *)base;
    epx_ucx_port *port;
    epx_status st;

    st = epx_port_check("ucx", cfg);
    if (st == EPX_OK)
        st = check_ranks(link, cfg);
    if (st == EPX_OK)
        st = make_port(link, cfg, &port);
    if (st != EPX_OK)
        return st;
    port->next = link->ports;
    link->ports = port;
    st = start_rings(link, port);
    if (st != EPX_OK) {
        epx_ucx_port_close(&port->head);
        return st;
    }
    *port_out = &port->head;
    return EPX_OK;
}

epx_ucx_ring *epx_ucx_port_ring(const epx_ucx_port *port, int32_t rank)
{
    int32_t low = 0, high = port->head.config.num_peers, middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (port->peers[middle] < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low < port->head.config.num_peers && port->peers[low] == rank ? &port->rings[low] : NULL;
}

static void forget_due(epx_ucx_link *link, const epx_ucx_port *port)
{
    epx_ucx_ring **at = &link->due;

    while (*at != NULL)
        if ((*at)->port == port)
            *at = (*at)->next_due;
        else
            at = &(*at)->next_due;
}

void epx_ucx_port_close(epx_port *base)
{
    epx_ucx_port *port = (epx_ucx_port *)base, **at;
    epx_ucx_link *link = (epx_ucx_link *)base->link;
    int32_t i;

    port->closed = true;
    for (at = &link->ports; *at != port;)
        at = &(*at)->next;
    *at = port->next;
    forget_due(link, port);
    for (i = 0; i < base->config.num_peers; i++)
        epx_ucx_cancel(&port->rings[i]);
    epx_ucx_drop_strays(link, base->config.id);
    port->next = link->parked;
    link->parked = port;
    epx_ucx_reap(link, false);
}

void epx_ucx_reap(epx_ucx_link *link, bool all)
{
    epx_ucx_port **at = &link->parked, *port;

    while ((port = *at) != NULL) {
        if (port->requests != 0 && !all) {
            at = &port->next;
            continue;
        }
        *at = port->next;
        free_port(port);
    }
}

void *epx_ucx_reserve(epx_port *base, int32_t peer)
{
    const epx_ucx_link *link = (const epx_ucx_link *)base->link;
    uint32_t depth = base->config.depth;
    const epx_ucx_ring *ring;
    uint64_t index;

    if (peer < 0 || peer >= base->config.num_peers)
        return NULL;
    ring = &((epx_ucx_port *)base)->rings[peer];
    index = ring->sent % depth;
    if (ring->slots[index].sending || link->peers[ring->rank].failed)
        return NULL;
    if (!base->config.self_clocked && ring->sent - ring->credited >= depth)
        return NULL;
    return ring->out + index * base->config.slot_bytes;
}

static void send_done(void *request, ucs_status_t status, void *arg)
{
    epx_ucx_slot *slot = arg;
    epx_ucx_port *port = slot->ring->port;
    epx_ucx_link *link = (epx_ucx_link *)port->head.link;

    slot->sending = false;
    port->requests--;
    port->sends--;
    if (status != UCS_OK)
        epx_ucx_note_broken(link, slot->ring->rank, status);
    link->api.ucp_request_free(request);
}

/* Chunk number ring->sent, which stands at `chunk`. */
static epx_status send_chunk(epx_ucx_ring *ring, const void *chunk, size_t bytes)
{
    epx_ucx_port *port = ring->port;
    epx_ucx_link *link = (epx_ucx_link *)port->head.link;
    epx_ucx_peer *peer = &link->peers[ring->rank];
    epx_ucx_slot *slot = &ring->slots[ring->sent % port->head.config.depth];
    ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
        .cb.send = send_done,
        .user_data = slot,
    };
    uint64_t tag = epx_ucx_tag(port->head.config.id, link->head.rank, ring->sent);
    ucs_status_ptr_t request = link->api.ucp_tag_send_nbx(peer->ep, chunk, bytes, tag, &param);

    if (UCS_PTR_IS_ERR(request)) {
        epx_ucx_note_broken(link, ring->rank, UCS_PTR_STATUS(request));
        return epx_ucx_fail_lost(peer);
    }
    ring->sent++;
    if (request != NULL) { /* else it is out already, and no callback comes */
        slot->sending = true;
        port->requests++;
        port->sends++;
    }
    return EPX_OK;
}

epx_status epx_ucx_put(epx_port *base, int32_t peer, size_t bytes)
{
    epx_ucx_link *link = (epx_ucx_link *)base->link;
    epx_ucx_ring *ring;
    void *chunk;

    if (peer < 0 || peer >= base->config.num_peers)
        return epx_fail(EPX_ERR_INVALID, "ucx port %u: peer %d of %d", base->config.id, peer,
                        base->config.num_peers);
    ring = &((epx_ucx_port *)base)->rings[peer];
    if (!epx_ucx_reach(link, ring->rank))
        return epx_ucx_fail_lost(&link->peers[ring->rank]);
    chunk = epx_ucx_reserve(base, peer);
    if (chunk == NULL || bytes > base->config.slot_bytes)
        return epx_fail(EPX_ERR_INVALID, "ucx port %u: no slot for %zu bytes to rank %d",
                        base->config.id, bytes, ring->rank);
    return send_chunk(ring, chunk, bytes);
}

bool epx_ucx_drained(const epx_port *base)
{
    return ((const epx_ucx_port *)base)->sends == 0;
}
