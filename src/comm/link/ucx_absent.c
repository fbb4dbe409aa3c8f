/* ucx_absent.c - in place of the UCX link where UCX's headers were missing at build time. */
#include "comm/link/ucx.h"

epx_status epx_ucx_open(epx_boot *boot, const bool *near_ranks, bool tcp_only, uint32_t timeout_ms,
                        epx_link **link_out)
{
    (void)boot;
    (void)near_ranks;
    (void)tcp_only;
    (void)timeout_ms;
    (void)link_out;
    return epx_fail(EPX_ERR_UNSUPPORTED, "this epx was built without UCX: apt install libucx-dev "
                                         "and build again");
}

epx_status epx_ucx_describe(epx_link *link, int32_t rank, char *text, size_t size)
{
    (void)link;
    (void)text;
    (void)size;
    return epx_fail(EPX_ERR_UNSUPPORTED, "this epx was built without UCX: no endpoint to rank %d",
                    rank);
}
