/* combine_api.c - the combine as the user sees it: start, finish. */
#include <string.h>

#include "comm/exchange/combine.h"
#include "core/clock.h"
#include "core/structs.h"

static bool combine_over(void *arg)
{
    return ((const epx_combine_op *)arg)->phase == EPX_PHASE_DONE;
}

/* Outputs of a handle whose receive set has been given to a later dispatch go into a spare set. All
 * ranks decide alike: they count the same dispatches. */
static int32_t choose_output_set(const epx_exchange *x, const epx_handle *h)
{
    uint64_t buffers = x->shape.cfg.buffers;

    if (h->sequence + buffers > x->dispatches)
        return (int32_t)(h->sequence % buffers);
    return (int32_t)buffers;
}

static void bring_in(epx_exchange *x, const epx_handle *h, const epx_combine_in *in)
{
    unsigned char *outputs = epx_exchange_outputs(x, x->shape.local, x->combine.output_set);
    float *side = (float *)(void *)(outputs + x->shape.window.output_side);
    size_t row_bytes = x->shape.cfg.combine_elems * x->shape.elem_bytes;

    if (h->num_pairs == 0)
        return;
    if (in->outputs != outputs)
        memcpy(outputs, in->outputs, h->num_pairs * row_bytes);
    if (x->shape.cfg.side_channel != 0 && in->side != NULL)
        memcpy(side, in->side, h->num_pairs * sizeof(float));
    else if (x->shape.cfg.side_channel != 0)
        memset(side, 0, h->num_pairs * sizeof(float));
}

static epx_status start(epx_handle *h, const epx_combine_in *in, const epx_combine_out *out)
{
    epx_exchange *x = h->x;
    epx_status st = epx_root_fault(x->root);

    if (st != EPX_OK)
        return st;
    if (x->combine.phase != EPX_PHASE_IDLE)
        return epx_fail(EPX_ERR_BUSY, "the exchange's combine %llu has not been finished",
                        (unsigned long long)x->combines);
    if (!h->dispatched || (x->dispatch.h == h && x->dispatch.phase != EPX_PHASE_IDLE))
        return epx_fail(EPX_ERR_INVALID,
                        "epx_combine_start: the handle's dispatch is not finished");
    if (h->num_pairs != 0 && in->outputs == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_combine_start: no outputs for %llu pairs",
                        (unsigned long long)h->num_pairs);
    if (h->num_tokens != 0 && out->rows == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_combine_start: no rows for %llu tokens",
                        (unsigned long long)h->num_tokens);
    x->combines++;
    x->combine.output_set = choose_output_set(x, h);
    bring_in(x, h, in);
    epx_combine_launch(x, h, out);
    return EPX_OK;
}

epx_status epx_combine_start(epx_handle *h, const epx_combine_in *user_in,
                             const epx_combine_out *user_out, void *stream)
{
    epx_combine_in in;
    epx_combine_out out;
    epx_status st;

    if (h == NULL || stream != NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_combine_start: %s",
                        h == NULL ? "handle is NULL" : "stream must be NULL on the host");
    st = epx_struct_read("epx_combine_in", user_in, &in, sizeof(in));
    if (st == EPX_OK)
        st = epx_struct_read("epx_combine_out", user_out, &out, sizeof(out));
    if (st != EPX_OK)
        return st;
    epx_root_enter(h->x->root);
    st = start(h, &in, &out);
    epx_root_leave(h->x->root);
    return st;
}

epx_status epx_combine_finish(epx_handle *h)
{
    epx_exchange *x;
    epx_status st;

    if (h == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_combine_finish: handle is NULL");
    x = h->x;
    epx_root_enter(x->root);
    if (x->combine.h != h) {
        epx_root_leave(x->root);
        return epx_fail(EPX_ERR_INVALID, "epx_combine_finish: no combine of this handle is in "
                                         "flight");
    }
    st = epx_root_drive(x->root, combine_over, &x->combine);
    if (x->combine.work.active)
        epx_root_remove(x->root, &x->combine.work);
    x->combine.phase = EPX_PHASE_IDLE;
    x->combine.work.deadline = EPX_NEVER;
    x->combine.h = NULL;
    epx_exchange_put_handle(x, h);
    epx_root_leave(x->root);
    return st;
}
