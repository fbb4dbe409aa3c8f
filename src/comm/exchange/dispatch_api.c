/* dispatch_api.c - the dispatch as the user sees it: start, again, finish. */
#include <stdio.h>
#include <string.h>

#include "comm/exchange/count.h"
#include "comm/exchange/dispatch.h"
#include "core/clock.h"
#include "core/structs.h"

static bool dispatch_over(void *arg)
{
    return ((const epx_dispatch_op *)arg)->phase == EPX_PHASE_DONE;
}

/* Takes the operation's reference back; a fault leaves the work for nobody. */
static epx_status conclude(epx_exchange *x, epx_status st)
{
    epx_dispatch_op *op = &x->dispatch;
    epx_handle *h = op->h;

    if (op->work.active)
        epx_root_remove(x->root, &op->work);
    op->phase = EPX_PHASE_IDLE;
    op->work.deadline = EPX_NEVER;
    op->h = NULL;
    if (st == EPX_OK && h->status != EPX_OK)
        st = epx_fail(h->status, "%s", h->error);
    epx_exchange_put_handle(x, h);
    return st;
}

static epx_status check_input(const epx_exchange *x, const epx_dispatch_in *in)
{
    const epx_exchange_config *cfg = &x->shape.cfg;

    if (in->num_tokens > cfg->max_tokens)
        return epx_fail(EPX_ERR_INVALID, "rank %d dispatches %llu tokens, max_tokens is %llu",
                        x->shape.rank, (unsigned long long)in->num_tokens,
                        (unsigned long long)cfg->max_tokens);
    if (in->num_tokens != 0 && (in->topk == 0 || in->topk > cfg->max_topk))
        return epx_fail(EPX_ERR_INVALID, "rank %d dispatches top-%u, max_topk is %u", x->shape.rank,
                        in->topk, cfg->max_topk);
    if (in->num_tokens != 0 && (in->rows == NULL || in->ids == NULL))
        return epx_fail(EPX_ERR_INVALID, "rank %d dispatches %llu tokens without rows or ids",
                        x->shape.rank, (unsigned long long)in->num_tokens);
    if (in->num_tokens != 0 && cfg->scale_bytes != 0 && in->scales == NULL)
        return epx_fail(EPX_ERR_INVALID, "rank %d dispatches without scales of %u bytes",
                        x->shape.rank, cfg->scale_bytes);
    return EPX_OK;
}

/* With the lock. Bad input still takes part, so that all ranks hear of it. */
static epx_status start(epx_exchange *x, const epx_dispatch_in *in, epx_status input,
                        epx_handle **handle_out)
{
    epx_handle *h;
    epx_status st = epx_root_fault(x->root);

    if (st != EPX_OK)
        return st;
    if (x->dispatch.phase != EPX_PHASE_IDLE)
        return epx_fail(EPX_ERR_BUSY, "the exchange's dispatch %llu has not been finished",
                        (unsigned long long)x->dispatches);
    st = epx_exchange_get_handle(x, &h);
    if (st != EPX_OK)
        return st;
    h->sequence = ++x->dispatches;
    st = epx_count_pairs(x, h, in, input);
    epx_dispatch_launch(x, h, in, false);
    if (st != EPX_OK) {
        char sentence[sizeof(h->error)];
        epx_status drove;

        snprintf(sentence, sizeof(sentence), "%s", x->verdict->text);
        drove = epx_root_drive(x->root, dispatch_over, &x->dispatch);
        (void)!conclude(x, drove);
        epx_exchange_put_handle(x, h);
        return drove != EPX_OK ? drove : epx_fail(st, "%s", sentence);
    }
    *handle_out = h;
    return EPX_OK;
}

epx_status epx_dispatch_start(epx_exchange *x, const epx_dispatch_in *user, void *stream,
                              epx_handle **handle_out)
{
    epx_dispatch_in in;
    epx_status st;

    if (x == NULL || handle_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_dispatch_start: NULL argument");
    if (stream != NULL)
        return epx_fail(EPX_ERR_UNSUPPORTED, "epx_dispatch_start: this exchange is on the host, "
                                             "stream must be NULL");
    st = epx_struct_read("epx_dispatch_in", user, &in, sizeof(in));
    if (st != EPX_OK)
        memset(&in, 0, sizeof(in));
    else
        st = check_input(x, &in);
    epx_root_enter(x->root);
    st = start(x, &in, st, handle_out);
    epx_root_leave(x->root);
    return st;
}

static epx_status again(epx_handle *h, const epx_dispatch_in *in)
{
    epx_exchange *x = h->x;
    epx_status st = epx_root_fault(x->root);
    uint64_t i;

    if (st != EPX_OK)
        return st;
    if (x->dispatch.phase != EPX_PHASE_IDLE)
        return epx_fail(EPX_ERR_BUSY, "the exchange's dispatch %llu has not been finished",
                        (unsigned long long)x->dispatches);
    if (!h->dispatched || in->num_tokens != h->num_tokens)
        return epx_fail(EPX_ERR_INVALID, "epx_dispatch_again: %llu tokens, the handle is for %llu",
                        (unsigned long long)in->num_tokens,
                        (unsigned long long)(h->dispatched ? h->num_tokens : 0));
    for (i = 0; in->side != NULL && i < h->pair_begin[h->num_tokens]; i++)
        h->pairs[i].side = 0;
    for (i = 0; in->side != NULL && i < h->num_tokens; i++) {
        uint32_t p;

        for (p = h->pair_begin[i]; p < h->pair_begin[i + 1]; p++)
            h->pairs[p].side = in->side[i * h->topk + h->pairs[p].entry];
    }
    h->sequence = ++x->dispatches;
    epx_dispatch_launch(x, h, in, true);
    return EPX_OK;
}

epx_status epx_dispatch_again(epx_handle *h, const epx_dispatch_in *user, void *stream)
{
    epx_dispatch_in in;
    epx_status st;

    if (h == NULL || stream != NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_dispatch_again: %s",
                        h == NULL ? "handle is NULL" : "stream must be NULL on the host");
    st = epx_struct_read("epx_dispatch_in", user, &in, sizeof(in));
    if (st == EPX_OK && in.num_tokens != 0 &&
        (in.rows == NULL || (h->x->shape.cfg.scale_bytes != 0 && in.scales == NULL)))
        st = epx_fail(EPX_ERR_INVALID, "epx_dispatch_again: rows or scales are NULL");
    if (st != EPX_OK)
        return st;
    epx_root_enter(h->x->root);
    st = again(h, &in);
    epx_root_leave(h->x->root);
    return st;
}

static void fill_out(const epx_exchange *x, const epx_handle *h, epx_dispatch_out *out)
{
    const epx_window_layout *w = &x->shape.window;
    const unsigned char *set = epx_exchange_set(x, x->shape.local, h->sequence);
    int32_t place = x->shape.grid->place[x->shape.rank];

    out->num_pairs = h->num_pairs;
    out->num_rows = h->num_rows;
    out->num_slots = x->shape.rank_begin[place + 1] - x->shape.rank_begin[place];
    out->slot_begin = h->slot_begin;
    out->rows = set + w->rows;
    out->scales = x->shape.cfg.scale_bytes != 0 ? set + w->scales : NULL;
    out->pair_row = (const uint32_t *)(const void *)(set + w->pair_row);
    out->pair_weight = (const float *)(const void *)(set + w->pair_weight);
    out->pair_side =
        x->shape.cfg.side_channel != 0 ? (const float *)(const void *)(set + w->pair_side) : NULL;
    out->row_source = (const uint32_t *)(const void *)(set + w->row_source);
    out->row_token = (const uint32_t *)(const void *)(set + w->row_token);
    out->outputs =
        epx_exchange_outputs(x, x->shape.local, (int32_t)(h->sequence % x->shape.cfg.buffers));
}

epx_status epx_dispatch_finish(epx_handle *h, epx_dispatch_out *out)
{
    epx_exchange *x;
    epx_status st;

    if (h == NULL || out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_dispatch_finish: NULL argument");
    x = h->x;
    epx_root_enter(x->root);
    if (x->dispatch.h != h) {
        epx_root_leave(x->root);
        return epx_fail(EPX_ERR_INVALID, "epx_dispatch_finish: no dispatch of this handle is in "
                                         "flight");
    }
    st = epx_root_drive(x->root, dispatch_over, &x->dispatch);
    st = conclude(x, st);
    if (st == EPX_OK)
        fill_out(x, h, out);
    epx_root_leave(x->root);
    return st;
}
