/* dispatch.c - agree, then move until nothing is left, then wait for the members of the node.
 *
 * While moving, every turn sends one chunk a stream, places one chunk a peer, passes on one chunk a
 * member and serves a few own tokens, in this order: the wire never waits for a copy. */
#include "comm/exchange/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "comm/exchange/agree.h"
#include "comm/exchange/inbox.h"
#include "comm/exchange/pack.h"
#include "comm/exchange/place.h"
#include "comm/exchange/slots.h"
#include "core/clock.h"
#include "core/mem.h"

#define OWN_TOKENS_A_TURN 8

static void finish(epx_dispatch_op *op)
{
    epx_event event = {.time_ns = epx_root_now(op->x->root),
                       .kind = EPX_EVENT_DISPATCH_DONE,
                       .peer = -1,
                       .sequence = op->h->sequence,
                       .value = op->h->num_pairs};

    op->phase = EPX_PHASE_DONE;
    op->work.deadline = EPX_NEVER;
    op->h->dispatched |= op->h->status == EPX_OK;
    epx_record_add(&op->x->root->record, &event);
    epx_root_remove(op->x->root, &op->work);
}

static void start_moving(epx_dispatch_op *op)
{
    epx_handle *h = op->h;
    int32_t i;

    memset(op->sent, 0, (size_t)op->x->shape.grid->num_ranks * sizeof(*op->sent));
    memset(op->received, 0, (size_t)op->x->shape.grid->num_ranks * sizeof(*op->received));
    op->in_left = op->out_left = 0;
    for (i = 0; i < h->num_in; i++)
        op->in_left += h->in[i].num_chunks;
    for (i = 0; i < h->num_streams; i++)
        op->out_left += h->streams[i].num_chunks;
    op->forward_left = h->forward_chunks;
    op->next_stream = 0;
    op->own_token = 0;
    op->phase = EPX_PHASE_MOVE;
}

static bool agree_turn(epx_dispatch_op *op)
{
    bool did = epx_agree_step(op->x);

    if (op->x->root->fault.status != EPX_OK || !epx_agree_done(op->x))
        return did;
    epx_slots_assign(op->x, op->h);
    if (op->h->status != EPX_OK)
        finish(op); /* the same verdict on all ranks, nothing has moved */
    else
        start_moving(op);
    return true;
}

static int32_t late_member(const epx_dispatch_op *op, size_t counter)
{
    return epx_exchange_late_member(op->x, counter, op->h->sequence);
}

static bool enter_turn(epx_dispatch_op *op)
{
    if (late_member(op, offsetof(epx_control, entered)) >= 0)
        return false;
    start_moving(op);
    return true;
}

/* The port and peer of a stream's first hop. */
static epx_port *first_hop(const epx_exchange *x, const epx_stream *stream, int32_t *peer_out)
{
    if (stream->sigma != x->shape.rank) {
        *peer_out = x->hop_index[x->shape.grid->local_of[stream->sigma]];
        return x->hop_port;
    }
    *peer_out = x->far_index[stream->rho];
    return x->dispatch_port;
}

static bool send_turn(epx_dispatch_op *op)
{
    epx_exchange *x = op->x;
    bool did = false;
    int32_t i;

    for (i = 0; i < op->h->num_streams && op->out_left > 0; i++) {
        int32_t index = (op->next_stream + i) % op->h->num_streams, peer;
        const epx_stream *stream = &op->h->streams[index];
        epx_port *port;
        size_t bytes;
        void *slot;

        if (op->sent[index] == stream->num_chunks)
            continue;
        port = first_hop(x, stream, &peer);
        slot = port->link->ops->reserve(port, peer);
        if (slot == NULL)
            continue;
        bytes = epx_pack_chunk(op, stream, op->sent[index], slot);
        if (epx_exchange_broken(x, port->link->ops->put(port, peer, bytes), stream->rho))
            return false;
        epx_exchange_count_bytes(x, port, bytes);
        op->sent[index]++;
        op->out_left--;
        did = true;
    }
    op->next_stream++;
    return did;
}

static bool receive_from(epx_dispatch_op *op, int32_t from)
{
    epx_exchange *x = op->x;
    epx_port *port = x->dispatch_port;
    int32_t peer = x->far_index[from], in;
    const epx_frame *frame =
        epx_inbox_peek(x, port, peer, EPX_FRAME_DISPATCH, op->h->sequence, from);

    if (frame == NULL || !epx_inbox_verify(x, frame, from))
        return false;
    in = frame->source >= 0 && frame->source < x->shape.grid->num_ranks
             ? op->h->in_from[frame->source]
             : -1;
    if (in < 1 || frame->relay != x->shape.rank || op->h->in[in].sigma != from) {
        epx_exchange_broken(x,
                            epx_fail(EPX_ERR_CORRUPT,
                                     "rank %d sent a chunk of rank %d for relay %d", from,
                                     frame->source, frame->relay),
                            from);
        return false;
    }
    if (!epx_place_chunk(op, in, frame, from))
        return false;
    op->received[in]++;
    op->in_left--;
    return !epx_exchange_broken(x, port->link->ops->release(port, peer), from);
}

static bool receive_turn(epx_dispatch_op *op)
{
    bool did = false;
    int32_t from;

    for (from = 0; from < op->x->shape.grid->num_ranks && op->in_left > 0; from++)
        if (op->x->far_index[from] >= 0)
            did |= receive_from(op, from);
    return did;
}

/* A chunk of a member of this node, on to the other node. */
static bool forward_from(epx_dispatch_op *op, int32_t local)
{
    epx_exchange *x = op->x;
    const epx_grid *grid = x->shape.grid;
    int32_t from = epx_grid_rank(grid, x->shape.node, local), peer;
    const epx_link_ops *near = x->hop_port->link->ops, *far = x->dispatch_port->link->ops;
    const epx_frame *frame = epx_inbox_peek(x, x->hop_port, x->hop_index[local], EPX_FRAME_DISPATCH,
                                            op->h->sequence, from);
    size_t bytes;
    void *slot;

    if (frame == NULL)
        return false;
    if (frame->relay < 0 || frame->relay >= grid->num_ranks || x->far_index[frame->relay] < 0) {
        epx_exchange_broken(
            x, epx_fail(EPX_ERR_CORRUPT, "rank %d sent a chunk for relay %d", from, frame->relay),
            from);
        return false;
    }
    peer = x->far_index[frame->relay];
    slot = far->reserve(x->dispatch_port, peer);
    if (slot == NULL)
        return false;
    bytes = sizeof(*frame) + frame->bytes;
    memcpy(slot, frame, bytes);
    if (epx_exchange_broken(x, far->put(x->dispatch_port, peer, bytes), frame->relay) ||
        epx_exchange_broken(x, near->release(x->hop_port, x->hop_index[local]), from))
        return false;
    epx_exchange_count_bytes(x, x->dispatch_port, bytes);
    op->forward_left--;
    return true;
}

static bool forward_turn(epx_dispatch_op *op)
{
    bool did = false;
    int32_t local;

    for (local = 0; local < op->x->shape.members && op->forward_left > 0; local++)
        if (op->x->hop_index[local] >= 0)
            did |= forward_from(op, local);
    return did;
}

static bool own_turn(epx_dispatch_op *op)
{
    uint64_t end = op->own_token + OWN_TOKENS_A_TURN;

    if (op->own_token == op->h->num_tokens)
        return false;
    if (end > op->h->num_tokens)
        end = op->h->num_tokens;
    for (; op->own_token < end; op->own_token++)
        epx_place_own(op, op->own_token);
    return true;
}

static bool move_turn(epx_dispatch_op *op)
{
    epx_exchange *x = op->x;
    bool did = send_turn(op);

    did |= receive_turn(op);
    did |= forward_turn(op);
    did |= own_turn(op);
    if (op->out_left + op->in_left + op->forward_left != 0 || op->own_token < op->h->num_tokens ||
        x->root->fault.status != EPX_OK)
        return did;
    /* pairs with the acquire of epx_exchange_late_member: members see the rows */
    atomic_store_explicit(&epx_exchange_control(x, x->shape.local)->fanned, op->h->sequence,
                          memory_order_release);
    epx_exchange_ring(x);
    op->phase = EPX_PHASE_SETTLE;
    return true;
}

static bool settle_turn(epx_dispatch_op *op, uint64_t now)
{
    if (late_member(op, offsetof(epx_control, fanned)) >= 0) {
        if (epx_exchange_members_moved(op->x))
            op->work.deadline = epx_deadline(now, op->x->root->timeout_ms);
        return false;
    }
    finish(op);
    return true;
}

static bool step(epx_work *work, uint64_t now)
{
    epx_dispatch_op *op = (epx_dispatch_op *)work;
    bool did = false;

    switch (op->phase) {
    case EPX_PHASE_AGREE:
        did = agree_turn(op);
        break;
    case EPX_PHASE_ENTER:
        did = enter_turn(op);
        break;
    case EPX_PHASE_MOVE:
        did = move_turn(op);
        break;
    case EPX_PHASE_SETTLE:
        did = settle_turn(op, now);
        break;
    default:
        break;
    }
    if (did)
        epx_exchange_moved(op->x, work, now);
    return did;
}

/* ---- whom it waits for ---------------------------------------------------------------------- */

static void waiting_to_move(const epx_dispatch_op *op, epx_waiting *out)
{
    const epx_handle *h = op->h;
    unsigned long long sequence = h->sequence;
    int32_t i;

    for (i = 0; i < h->num_in; i++)
        if (i > 0 && op->received[i] < h->in[i].num_chunks) {
            out->rank = epx_exchange_root_rank(op->x, h->in[i].sigma);
            snprintf(out->what, sizeof(out->what), "dispatch %llu: channel %u of %u from rank %d",
                     sequence, op->received[i], h->in[i].num_chunks, h->in[i].source);
            return;
        }
    for (i = 0; i < h->num_streams; i++)
        if (op->sent[i] < h->streams[i].num_chunks) {
            out->rank = epx_exchange_root_rank(op->x, h->streams[i].rho);
            snprintf(out->what, sizeof(out->what),
                     "dispatch %llu: credit for channel %u of %u to rank %d", sequence, op->sent[i],
                     h->streams[i].num_chunks, h->streams[i].rho);
            return;
        }
    snprintf(out->what, sizeof(out->what), "dispatch %llu: %u channels to pass on", sequence,
             op->forward_left);
}

static void waiting(const epx_work *work, epx_waiting *out)
{
    const epx_dispatch_op *op = (const epx_dispatch_op *)work;
    const epx_exchange *x = op->x;
    int32_t l;

    out->rank = -1;
    switch (op->phase) {
    case EPX_PHASE_AGREE:
        out->rank = epx_agree_waits_for(x);
        snprintf(out->what, sizeof(out->what), "dispatch %llu: counts",
                 (unsigned long long)op->h->sequence);
        break;
    case EPX_PHASE_MOVE:
        waiting_to_move(op, out);
        break;
    default:
        l = late_member(op, offsetof(epx_control, fanned));
        if (l >= 0)
            out->rank = epx_exchange_root_rank(x, epx_grid_rank(x->shape.grid, x->shape.node, l));
        snprintf(out->what, sizeof(out->what), "dispatch %llu: the node's ranks",
                 (unsigned long long)op->h->sequence);
        break;
    }
    if (out->rank == x->root->rank)
        out->rank = -1;
}

epx_status epx_dispatch_init(epx_exchange *x)
{
    size_t ranks = (size_t)x->shape.grid->num_ranks;

    x->dispatch.x = x;
    x->dispatch.work.step = step;
    x->dispatch.work.waiting = waiting;
    x->dispatch.work.deadline = EPX_NEVER;
    x->dispatch.sent = epx_mem_alloc("dispatch streams", ranks, sizeof(uint32_t));
    x->dispatch.received = epx_mem_alloc("dispatch streams", ranks, sizeof(uint32_t));
    return x->dispatch.sent != NULL && x->dispatch.received != NULL ? EPX_OK : EPX_ERR_NO_MEMORY;
}

void epx_dispatch_close(epx_exchange *x)
{
    epx_mem_free(x->dispatch.sent);
    epx_mem_free(x->dispatch.received);
}

void epx_dispatch_launch(epx_exchange *x, epx_handle *h, const epx_dispatch_in *in, bool again)
{
    epx_dispatch_op *op = &x->dispatch;
    uint64_t now = epx_root_now(x->root);
    epx_event event = {.time_ns = now,
                       .kind = EPX_EVENT_DISPATCH_START,
                       .peer = -1,
                       .sequence = h->sequence,
                       .value = h->num_tokens};

    op->h = h;
    op->again = again;
    op->rows = in->rows;
    op->scales = in->scales != NULL ? in->scales : in->rows;
    op->phase = again ? EPX_PHASE_ENTER : EPX_PHASE_AGREE;
    h->refs++; /* the operation's own */
    atomic_store_explicit(&epx_exchange_control(x, x->shape.local)->entered, h->sequence,
                          memory_order_release);
    if (again)
        epx_exchange_ring(x);
    else
        epx_agree_begin(x);
    epx_exchange_moved(x, &op->work, now);
    epx_record_add(&x->root->record, &event);
    epx_root_add(x->root, &op->work);
    (void)step(&op->work, now); /* the tallies are on their way before the caller returns */
    epx_root_wake(x->root);
}
