/* combine.c - the way back: relays reduce and send, sources sum.
 *
 * It ends when this rank has its rows, owes nobody a chunk, and no member reads its outputs any
 * more: then windows and return area are free for the next operation. */
#include "comm/exchange/combine.h"

#include <stdio.h>
#include <string.h>

#include "comm/exchange/inbox.h"
#include "comm/exchange/partial.h"
#include "comm/exchange/sum.h"
#include "core/clock.h"
#include "core/mem.h"

#define TOKENS_A_TURN 4

static void finish(epx_combine_op *op)
{
    epx_event event = {.time_ns = epx_root_now(op->x->root),
                       .kind = EPX_EVENT_COMBINE_DONE,
                       .peer = -1,
                       .sequence = op->x->combines,
                       .value = op->h->num_tokens};

    op->phase = EPX_PHASE_DONE;
    op->work.deadline = EPX_NEVER;
    epx_record_add(&op->x->root->record, &event);
    epx_root_remove(op->x->root, &op->work);
}

static int32_t late_member(const epx_combine_op *op, size_t counter)
{
    return epx_exchange_late_member(op->x, counter, op->x->combines);
}

static bool enter_turn(epx_combine_op *op)
{
    if (late_member(op, offsetof(epx_control, outputs)) >= 0)
        return false;
    op->phase = EPX_PHASE_MOVE;
    return true;
}

static bool reduce_turn(epx_combine_op *op)
{
    epx_exchange *x = op->x;
    const epx_link_ops *ops;
    bool did = false;
    int32_t i;

    for (i = 0; i < op->h->num_in && op->reduce_left > 0; i++) {
        int32_t index = (op->next_in + i) % op->h->num_in, peer;
        const epx_in_stream *in = &op->h->in[index];
        size_t bytes;
        void *slot;

        if (op->reduced[index] == in->num_chunks)
            continue;
        ops = x->combine_port->link->ops;
        peer = x->far_index[in->sigma];
        slot = ops->reserve(x->combine_port, peer);
        if (slot == NULL)
            continue;
        bytes = epx_partial_chunk(op, in, op->reduced[index], slot);
        if (epx_exchange_broken(x, ops->put(x->combine_port, peer, bytes), in->sigma))
            return false;
        epx_exchange_count_bytes(x, x->combine_port, bytes);
        op->reduced[index]++;
        op->reduce_left--;
        did = true;
    }
    op->next_in++;
    return did;
}

/* intra-first: a chunk for this rank or another member goes into its owner's return area. */
static bool store_return(epx_combine_op *op, const epx_frame *frame, int32_t from)
{
    epx_exchange *x = op->x;
    const epx_window_layout *w = &x->shape.window;
    const epx_grid *grid = x->shape.grid;
    unsigned char *base;
    atomic_uint *flag;

    if (frame->source < 0 || frame->source >= grid->num_ranks ||
        grid->node_of[frame->source] != x->shape.node || frame->tag >= x->shape.return_chunks ||
        sizeof(*frame) + frame->bytes > x->shape.slot_bytes)
        return !epx_exchange_broken(x,
                                    epx_fail(EPX_ERR_CORRUPT,
                                             "rank %d returned channel %u for rank %d, slot %u",
                                             from, frame->chunk, frame->source, frame->tag),
                                    from);
    base = x->base[grid->local_of[frame->source]];
    memcpy(base + w->return_chunks_at + (size_t)frame->tag * x->shape.slot_bytes, frame,
           sizeof(*frame) + frame->bytes);
    flag = (atomic_uint *)(void *)(base + w->return_flags) + frame->tag;
    /* pairs with the acquire in sum.c: the owner sees the chunk */
    atomic_store_explicit(flag, (uint32_t)x->combines, memory_order_release);
    if (frame->source != x->shape.rank)
        x->root->near->ops->ring(x->root->near, epx_exchange_root_rank(x, frame->source));
    return true;
}

static bool forward_turn(epx_combine_op *op)
{
    epx_exchange *x = op->x;
    bool did = false;
    int32_t from;

    for (from = 0; from < x->shape.grid->num_ranks && op->forward_left > 0; from++) {
        const epx_frame *frame;

        if (x->far_index[from] < 0)
            continue;
        frame = epx_inbox_peek(x, x->combine_port, x->far_index[from], EPX_FRAME_COMBINE,
                               x->combines, from);
        if (frame == NULL || !store_return(op, frame, from) ||
            epx_exchange_broken(
                x, x->combine_port->link->ops->release(x->combine_port, x->far_index[from]), from))
            continue;
        op->forward_left--;
        did = true;
    }
    return did;
}

static bool sum_turn(epx_combine_op *op)
{
    int i;

    for (i = 0; i < TOKENS_A_TURN && op->token < op->h->num_tokens; i++)
        if (!epx_sum_token(op))
            break;
    return i > 0;
}

static bool move_turn(epx_combine_op *op)
{
    epx_exchange *x = op->x;
    bool did = reduce_turn(op);

    did |= forward_turn(op);
    did |= sum_turn(op);
    if (op->reduce_left + op->forward_left != 0 || op->token < op->h->num_tokens ||
        x->root->fault.status != EPX_OK)
        return did;
    /* pairs with the acquire of epx_exchange_late_member: nothing of theirs is read after this */
    atomic_store_explicit(&epx_exchange_control(x, x->shape.local)->combined, x->combines,
                          memory_order_release);
    epx_exchange_ring(x);
    op->phase = EPX_PHASE_SETTLE;
    return true;
}

static bool settle_turn(epx_combine_op *op, uint64_t now)
{
    if (late_member(op, offsetof(epx_control, combined)) < 0) {
        finish(op);
        return true;
    }
    if (epx_exchange_members_moved(op->x))
        op->work.deadline = epx_deadline(now, op->x->root->timeout_ms);
    return false;
}

static bool step(epx_work *work, uint64_t now)
{
    epx_combine_op *op = (epx_combine_op *)work;
    bool did = false;

    if (op->phase == EPX_PHASE_ENTER)
        did = enter_turn(op);
    else if (op->phase == EPX_PHASE_MOVE)
        did = move_turn(op);
    else if (op->phase == EPX_PHASE_SETTLE)
        did = settle_turn(op, now);
    if (did)
        epx_exchange_moved(op->x, work, now);
    return did;
}

/* ---- whom it waits for ---------------------------------------------------------------------- */

static void name_member(const epx_combine_op *op, int32_t local, epx_waiting *out)
{
    const epx_grid *grid = op->x->shape.grid;

    if (local >= 0)
        out->rank = epx_exchange_root_rank(op->x, epx_grid_rank(grid, op->x->shape.node, local));
}

static void waiting_to_move(const epx_combine_op *op, epx_waiting *out)
{
    unsigned long long sequence = op->x->combines;
    uint32_t chunk = 0;
    int32_t i;

    if (op->token < op->h->num_tokens)
        out->rank = epx_sum_waits_for(op, &chunk);
    if (out->rank >= 0) {
        snprintf(out->what, sizeof(out->what), "combine %llu: channel %u, token %llu", sequence,
                 chunk, (unsigned long long)op->token);
        return;
    }
    for (i = 0; i < op->h->num_in; i++)
        if (op->reduced[i] < op->h->in[i].num_chunks) {
            out->rank = epx_exchange_root_rank(op->x, op->h->in[i].sigma);
            snprintf(out->what, sizeof(out->what), "combine %llu: credit for channel %u to rank %d",
                     sequence, op->reduced[i], op->h->in[i].sigma);
            return;
        }
    snprintf(out->what, sizeof(out->what), "combine %llu: %u channels to pass on", sequence,
             op->forward_left);
}

static void waiting(const epx_work *work, epx_waiting *out)
{
    const epx_combine_op *op = (const epx_combine_op *)work;

    out->rank = -1;
    if (op->phase == EPX_PHASE_MOVE) {
        waiting_to_move(op, out);
    } else {
        name_member(op,
                    late_member(op, op->phase == EPX_PHASE_ENTER ? offsetof(epx_control, outputs)
                                                                 : offsetof(epx_control, combined)),
                    out);
        snprintf(out->what, sizeof(out->what), "combine %llu: the node's ranks",
                 (unsigned long long)op->x->combines);
    }
    if (out->rank == op->x->root->rank)
        out->rank = -1;
}

/* ---- start and end -------------------------------------------------------------------------- */

epx_status epx_combine_init(epx_exchange *x)
{
    size_t ranks = (size_t)x->shape.grid->num_ranks;

    x->combine.x = x;
    x->combine.work.step = step;
    x->combine.work.waiting = waiting;
    x->combine.work.deadline = EPX_NEVER;
    x->combine.reduced = epx_mem_alloc("combine streams", ranks, sizeof(uint32_t));
    x->combine.consumed = epx_mem_alloc("combine streams", ranks, sizeof(uint32_t));
    x->combine.offset = epx_mem_alloc("combine streams", ranks, sizeof(uint32_t));
    return x->combine.reduced != NULL && x->combine.consumed != NULL && x->combine.offset != NULL
               ? EPX_OK
               : EPX_ERR_NO_MEMORY;
}

void epx_combine_close(epx_exchange *x)
{
    epx_mem_free(x->combine.reduced);
    epx_mem_free(x->combine.consumed);
    epx_mem_free(x->combine.offset);
}

static void reset(epx_combine_op *op)
{
    const epx_handle *h = op->h;
    size_t bytes = (size_t)op->x->shape.grid->num_ranks * sizeof(uint32_t);
    int32_t i;

    memset(op->reduced, 0, bytes);
    memset(op->consumed, 0, bytes);
    memset(op->offset, 0, bytes);
    op->reduce_left = op->forward_left = 0;
    for (i = 0; i < h->num_in; i++)
        op->reduce_left += h->in[i].num_chunks;
    for (i = 0; i < h->num_streams && h->plan == EPX_PLAN_INTRA_FIRST; i++)
        if (h->streams[i].sigma == op->x->shape.rank)
            op->forward_left += h->streams[i].num_chunks;
    op->forward_left += h->forward_chunks;
    op->next_in = 0;
    op->token = 0;
    op->own_row = 0;
}

void epx_combine_launch(epx_exchange *x, epx_handle *h, const epx_combine_out *out)
{
    epx_combine_op *op = &x->combine;
    uint64_t now = epx_root_now(x->root);
    epx_event event = {.time_ns = now,
                       .kind = EPX_EVENT_COMBINE_START,
                       .peer = -1,
                       .sequence = x->combines,
                       .value = h->num_pairs};

    op->h = h;
    op->out_rows = out->rows;
    op->out_side = out->side;
    op->phase = EPX_PHASE_ENTER;
    reset(op);
    h->refs++; /* the operation's own */
    /* pairs with the acquire of epx_exchange_late_member: members see the outputs */
    atomic_store_explicit(&epx_exchange_control(x, x->shape.local)->outputs, x->combines,
                          memory_order_release);
    epx_exchange_ring(x);
    epx_exchange_moved(x, &op->work, now);
    epx_record_add(&x->root->record, &event);
    epx_root_add(x->root, &op->work);
    (void)step(&op->work, now);
    epx_root_wake(x->root);
}
