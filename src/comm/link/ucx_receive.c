/* ucx_receive.c - the receiving side of a ring: slots lent to UCX, chunks handed out in order.
 *
 * A tag is port (28 bits), source rank (20), chunk number (16). Receives match port and source
 * only, so a chunk that is not the next one shows up as a wrong number instead of vanishing. */
#include "comm/link/ucx_port.h"

#define ANY_CHUNK (~UINT64_C(0) << 16)
#define ANY_SOURCE (~UINT64_C(0) << 36)

static void check_chunk(epx_ucx_slot *slot, const ucp_tag_recv_info_t *info)
{
    epx_ucx_ring *ring = slot->ring;
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;
    uint16_t got = (uint16_t)info->sender_tag;

    link->peers[ring->rank].heard = true;
    if (got != slot->sequence) {
        epx_ucx_note_corrupt(link, ring->rank, "rank %d sent chunk %u of port %u, expected %u",
                             ring->rank, got, ring->port->head.config.id, slot->sequence);
        return;
    }
    slot->bytes = info->length;
    slot->state = EPX_UCX_SLOT_ARRIVED;
}

static void receive_done(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info,
                         void *arg)
{
    epx_ucx_slot *slot = arg;
    epx_ucx_ring *ring = slot->ring;
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;

    slot->state = EPX_UCX_SLOT_IDLE;
    slot->request = NULL;
    ring->port->requests--;
    if (status == UCS_OK)
        check_chunk(slot, info);
    else if (status == UCS_ERR_MESSAGE_TRUNCATED)
        epx_ucx_note_corrupt(link, ring->rank, "rank %d sent more than %zu bytes to port %u",
                             ring->rank, ring->port->head.config.slot_bytes,
                             ring->port->head.config.id);
    else if (status != UCS_ERR_CANCELED)
        epx_ucx_note_broken(link, ring->rank, status);
    link->api.ucp_request_free(request);
}

epx_status epx_ucx_post(epx_ucx_ring *ring, uint64_t number)
{
    const epx_port_config *cfg = &ring->port->head.config;
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;
    uint64_t index = number % cfg->depth;
    epx_ucx_slot *slot = &ring->slots[index];
    ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv = receive_done,
        .user_data = slot,
    };
    ucs_status_ptr_t request;

    slot->sequence = (uint16_t)number;
    slot->state = EPX_UCX_SLOT_POSTED;
    ring->port->requests++;
    request = link->api.ucp_tag_recv_nbx(link->worker, ring->in + index * cfg->slot_bytes,
                                         cfg->slot_bytes, epx_ucx_tag(cfg->id, ring->rank, 0),
                                         ANY_CHUNK, &param);
    if (UCS_PTR_IS_ERR(request)) {
        slot->state = EPX_UCX_SLOT_IDLE;
        ring->port->requests--;
        return epx_fail(EPX_ERR_SYSTEM, "UCX: posting a receive from rank %d: %s", ring->rank,
                        link->api.ucs_status_string(UCS_PTR_STATUS(request)));
    }
    /* A chunk that was there already has been handled by now, and its request is no more. */
    if (slot->state == EPX_UCX_SLOT_POSTED)
        slot->request = request;
    return EPX_OK;
}

void epx_ucx_cancel(epx_ucx_ring *ring)
{
    epx_ucx_link *link = (epx_ucx_link *)ring->port->head.link;
    uint32_t i;

    for (i = 0; i < ring->port->head.config.depth; i++)
        if (ring->slots[i].request != NULL)
            link->api.ucp_request_cancel(link->worker, ring->slots[i].request);
}

static void stray_done(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info,
                       void *arg)
{
    epx_ucx_link *link = arg;

    (void)status; /* truncated, on purpose */
    (void)info;
    link->api.ucp_request_free(request);
}

void epx_ucx_drop_strays(epx_ucx_link *link, uint32_t id)
{
    ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv = stray_done,
        .user_data = link,
    };
    ucp_tag_recv_info_t info;
    ucp_tag_message_h message;

    while ((message = link->api.ucp_tag_probe_nb(link->worker, epx_ucx_tag(id, 0, 0), ANY_SOURCE, 1,
                                                 &info)) != NULL)
        (void)link->api.ucp_tag_msg_recv_nbx(link->worker, NULL, 0, message, &param);
}

void *epx_ucx_peek(epx_port *base, int32_t peer, size_t *bytes_out)
{
    const epx_ucx_ring *ring;
    uint64_t index;

    if (peer < 0 || peer >= base->config.num_peers)
        return NULL;
    ring = &((const epx_ucx_port *)base)->rings[peer];
    index = ring->released % base->config.depth;
    if (ring->slots[index].state != EPX_UCX_SLOT_ARRIVED ||
        ((const epx_ucx_link *)base->link)->peers[ring->rank].failed)
        return NULL;
    *bytes_out = ring->slots[index].bytes;
    return ring->in + index * base->config.slot_bytes;
}

epx_status epx_ucx_release(epx_port *base, int32_t peer)
{
    epx_ucx_link *link = (epx_ucx_link *)base->link;
    uint32_t depth = base->config.depth;
    epx_ucx_ring *ring;
    epx_ucx_slot *slot;
    epx_status st;

    if (peer < 0 || peer >= base->config.num_peers)
        return epx_fail(EPX_ERR_INVALID, "ucx port %u: peer %d of %d", base->config.id, peer,
                        base->config.num_peers);
    ring = &((epx_ucx_port *)base)->rings[peer];
    slot = &ring->slots[ring->released % depth];
    if (slot->state != EPX_UCX_SLOT_ARRIVED)
        return epx_fail(EPX_ERR_INVALID, "port %u: no chunk of rank %d to release", base->config.id,
                        ring->rank);
    slot->state = EPX_UCX_SLOT_IDLE;
    ring->released++;
    if (link->peers[ring->rank].failed)
        return EPX_OK;
    st = epx_ucx_post(ring, ring->released - 1 + depth);
    if (st != EPX_OK)
        return st;
    if (!base->config.self_clocked && ring->released - ring->told >= (depth + 1) / 2)
        epx_ucx_send_credit(ring);
    return EPX_OK;
}
