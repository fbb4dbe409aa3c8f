/* fail.c - status names, and the thread-local sentence behind epx_last_error(). */
#include "core/fail.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/log.h"

static _Thread_local char last_error[512] = "no error";

epx_status(epx_fail)(epx_status code, const char *format, ...)
{
    char sentence[sizeof(last_error)]; /* the arguments may point into last_error */
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    snprintf(last_error, sizeof(last_error), "%s", sentence);
    epx_log(EPX_LOG_DEBUG, "%s: %s", epx_status_name(code), last_error);
    return code;
}

const char *epx_last_error(void)
{
    return last_error;
}

epx_scope epx_status_scope(epx_status st)
{
    if (st > -20)
        return EPX_SCOPE_CALL;
    return st > -40 ? EPX_SCOPE_PEER : EPX_SCOPE_COMM;
}

const char *epx_status_name(epx_status st)
{
    switch (st) {
#define EPX_X(name, value, text)                                                                   \
    case EPX_##name:                                                                               \
        return "EPX_" #name;
        EPX_STATUS_LIST(EPX_X)
#undef EPX_X
    }
    return "EPX_ERR_UNKNOWN";
}

const char *epx_status_text(epx_status st)
{
    switch (st) {
#define EPX_X(name, value, text)                                                                   \
    case EPX_##name:                                                                               \
        return text;
        EPX_STATUS_LIST(EPX_X)
#undef EPX_X
    }
    return "unknown status";
}
