/* hostlist.c - one pass over the first element; every bracket stands for its first number. */
#include "comm/boot/hostlist.h"

#include <stdbool.h>
#include <string.h>

#define HOST_MAX 255

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* *at stands after '['; appends the first number and moves *at behind ']'. */
static bool take_bracket(const char **at, char *host, size_t *used)
{
    const char *p = *at;
    size_t digits = strspn(p, "0123456789");

    if (digits == 0 || *used + digits > HOST_MAX)
        return false;
    memcpy(host + *used, p, digits);
    *used += digits;
    p += strspn(p, "0123456789,-");
    if (*p != ']')
        return false;
    *at = p + 1;
    return true;
}

epx_status epx_hostlist_first(const char *list, char *host_out, size_t size)
{
    char host[HOST_MAX + 1];
    const char *p = list;
    size_t used = 0;
    bool good = true;

    while (good && *p != '\0' && *p != ',') {
        if (*p == '[') {
            p++;
            good = take_bracket(&p, host, &used);
        } else {
            good = is_name_char(*p) && used < HOST_MAX;
            if (good)
                host[used++] = *p++;
        }
    }
    if (!good || used == 0 || used >= size)
        return epx_fail(EPX_ERR_INVALID, "\"%.100s\" is not a list of hosts", list);
    memcpy(host_out, host, used);
    host_out[used] = '\0';
    return EPX_OK;
}
