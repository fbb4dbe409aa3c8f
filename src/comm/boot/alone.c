/* alone.c - the operations of a boot without others. */
#include "comm/boot/alone.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "comm/boot/auth.h"
#include "core/clock.h"
#include "core/mem.h"

#define LONGEST_NAP_NS UINT64_C(100000000)

static epx_status alone_gather_start(epx_boot *boot, const void *mine, size_t bytes, void *all)
{
    (void)boot;
    if (bytes != 0)
        memmove(all, mine, bytes);
    return EPX_OK;
}

static bool alone_gather_done(epx_boot *boot, epx_status *status_out)
{
    (void)boot;
    *status_out = EPX_OK;
    return true;
}

static void alone_gather_cancel(epx_boot *boot, uint32_t timeout_ms)
{
    (void)boot;
    (void)timeout_ms;
}

static bool alone_step(epx_boot *boot)
{
    (void)boot;
    return false;
}

static bool alone_hear(epx_boot *boot, epx_notice *notice_out)
{
    (void)boot;
    (void)notice_out;
    return false;
}

static void alone_tell(epx_boot *boot, const epx_notice *notice)
{
    (void)boot;
    (void)notice;
}

static void alone_wait(epx_boot *boot, uint64_t until_ns)
{
    uint64_t now = epx_clock_ns(), left = until_ns > now ? until_ns - now : 0;
    struct timespec nap = {.tv_nsec = (long)(left < LONGEST_NAP_NS ? left : LONGEST_NAP_NS)};

    (void)boot;
    nanosleep(&nap, NULL);
}

static void alone_close(epx_boot *boot, bool graceful)
{
    (void)graceful;
    epx_auth_wipe(boot->key, sizeof(boot->key));
    epx_mem_free(boot);
}

static const epx_boot_ops alone_ops = {
    .gather_start = alone_gather_start,
    .gather_done = alone_gather_done,
    .gather_cancel = alone_gather_cancel,
    .step = alone_step,
    .hear = alone_hear,
    .tell = alone_tell,
    .wait = alone_wait,
    .close = alone_close,
};

epx_status epx_alone_open(const char *launcher, const char *address, const char *interface,
                          epx_boot **boot_out)
{
    epx_boot *boot = epx_mem_alloc("boot", 1, sizeof(*boot));

    if (boot == NULL)
        return EPX_ERR_NO_MEMORY;
    boot->ops = &alone_ops;
    boot->rank = 0;
    boot->size = 1;
    boot->fd = -1;
    boot->keyed = true; /* drawn here, known to nobody else */
    epx_auth_random(boot->key, sizeof(boot->key));
    snprintf(boot->launcher, sizeof(boot->launcher), "%s", launcher);
    snprintf(boot->address, sizeof(boot->address), "%s", address);
    snprintf(boot->interface, sizeof(boot->interface), "%s", interface);
    *boot_out = boot;
    return EPX_OK;
}
