/* fail.h - the thread's latest failure, in one sentence.
 *
 * Only the first detector speaks: it returns epx_fail(code, "who, what, number"); everyone above
 * just returns the code. */
#ifndef EPX_CORE_FAIL_H
#define EPX_CORE_FAIL_H

#include <epx/status.h>

/* Stores the sentence for this thread and returns code. */
epx_status epx_fail(epx_status code, const char *format, ...) EPX_PRINTF(2, 3);

#ifdef __clang_analyzer__ /* it sees one file at a time: tell it what comes back */
#define epx_fail(code, ...) ((void)(epx_fail)(code, __VA_ARGS__), (code))
#endif

#endif /* EPX_CORE_FAIL_H */
