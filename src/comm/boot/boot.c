/* boot.c - what works over any boot: a gather with a deadline. */
#include "comm/boot/boot.h"

#include "core/clock.h"

#define ANSWER_MS 250 /* after the deadline, to learn who is missing */

epx_status epx_boot_allgather(epx_boot *boot, const void *mine, size_t bytes, void *all,
                              uint32_t timeout_ms)
{
    uint64_t until = epx_deadline(epx_clock_ns(), timeout_ms);
    bool cancelled = false;
    epx_status st = boot->ops->gather_start(boot, mine, bytes, all);

    if (st != EPX_OK)
        return st;
    while (!boot->ops->gather_done(boot, &st)) {
        if (epx_clock_ns() >= until) {
            if (cancelled || boot->ops->gather_cancel == NULL)
                return epx_fail(EPX_ERR_TIMEOUT,
                                "rank %d: an allgather of %zu bytes was not over within %u ms",
                                boot->rank, bytes, timeout_ms);
            boot->ops->gather_cancel(boot, timeout_ms);
            cancelled = true;
            until = epx_deadline(epx_clock_ns(), ANSWER_MS);
        }
        if (!boot->ops->step(boot))
            boot->ops->wait(boot, until);
    }
    return st;
}
