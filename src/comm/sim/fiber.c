/* fiber.c - coroutines by ucontext. */
#include "comm/sim/fiber.h"

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "core/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES ((size_t)1 << 20) /* address space; touched pages only are committed */

struct epx_fiber {
    ucontext_t self;
    ucontext_t scheduler;
    void *stack;
    void (*main)(void *arg);
    void *arg;
    bool ended;
#ifdef WITH_ASAN
    void *own_fake, *scheduler_fake;
    const void *scheduler_stack;
    size_t scheduler_bytes;
#endif
#ifdef WITH_TSAN
    void *own_tsan, *scheduler_tsan;
#endif
};

/* What the sanitizers want to hear before and after each of the two switches. */
static void leaving_scheduler(epx_fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&fiber->scheduler_fake, fiber->stack, STACK_BYTES);
#endif
#ifdef WITH_TSAN
    fiber->scheduler_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->own_tsan, 0);
#endif
    (void)fiber;
}

static void back_in_scheduler(epx_fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(fiber->scheduler_fake, NULL, NULL);
#endif
    (void)fiber;
}

static void leaving_fiber(epx_fiber *fiber)
{
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(fiber->ended ? NULL : &fiber->own_fake, fiber->scheduler_stack,
                                   fiber->scheduler_bytes);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(fiber->scheduler_tsan, 0);
#endif
    (void)fiber;
}

static void back_in_fiber(epx_fiber *fiber, bool first)
{
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(first ? NULL : fiber->own_fake, &fiber->scheduler_stack,
                                    &fiber->scheduler_bytes);
#endif
    (void)fiber;
    (void)first;
}

/* makecontext passes ints only: the pointer travels in two halves. */
static void fiber_entry(unsigned high, unsigned low)
{
    epx_fiber *fiber = (epx_fiber *)(((uintptr_t)high << 32) | (uintptr_t)low);

    back_in_fiber(fiber, true);
    fiber->main(fiber->arg);
    fiber->ended = true;
    leaving_fiber(fiber);
    swapcontext(&fiber->self, &fiber->scheduler);
}

epx_status epx_fiber_create(void (*main)(void *arg), void *arg, epx_fiber **fiber_out)
{
    epx_fiber *fiber = epx_mem_alloc("coroutine", 1, sizeof(*fiber));
    uint64_t bits = (uint64_t)(uintptr_t)fiber;

    if (fiber == NULL)
        return EPX_ERR_NO_MEMORY;
    fiber->stack = epx_mem_reserve("coroutine stack", STACK_BYTES);
    if (fiber->stack == NULL) {
        epx_mem_free(fiber);
        return EPX_ERR_NO_MEMORY;
    }
    fiber->main = main;
    fiber->arg = arg;
    getcontext(&fiber->self);
    fiber->self.uc_stack.ss_sp = fiber->stack;
    fiber->self.uc_stack.ss_size = STACK_BYTES;
    fiber->self.uc_link = NULL;
    makecontext(&fiber->self, (void (*)(void))fiber_entry, 2, (unsigned)(bits >> 32),
                (unsigned)(bits & UINT32_MAX));
#ifdef WITH_TSAN
    fiber->own_tsan = __tsan_create_fiber(0);
#endif
    *fiber_out = fiber;
    return EPX_OK;
}

void epx_fiber_destroy(epx_fiber *fiber)
{
    if (fiber == NULL)
        return;
#ifdef WITH_TSAN
    __tsan_destroy_fiber(fiber->own_tsan);
#endif
    epx_mem_release(fiber->stack, STACK_BYTES);
    epx_mem_free(fiber);
}

void epx_fiber_resume(epx_fiber *fiber)
{
    leaving_scheduler(fiber);
    swapcontext(&fiber->scheduler, &fiber->self);
    back_in_scheduler(fiber);
}

void epx_fiber_yield(epx_fiber *fiber)
{
    leaving_fiber(fiber);
    swapcontext(&fiber->self, &fiber->scheduler);
    back_in_fiber(fiber, false);
}

bool epx_fiber_ended(const epx_fiber *fiber)
{
    return fiber->ended;
}
