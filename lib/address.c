/* Addresses: "host:port" with the IPv6 forms. Users write [::1]:9876; a Java broker that was given
 * an IPv6 brokerIP1 registers itself as "::1:10911", which its own clients cut at the last colon.
 * So does this parser, where what stands before the last colon is an IPv6 address. Source:
 * NetworkUtil.string2SocketAddress 5.4.0. */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int rmq_address_ip_version(const char *host)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, host, bytes) == 1)
        return 4;
    if (inet_pton(AF_INET6, host, bytes) == 1)
        return 6;
    return 0;
}

static bool parse_port(rmq_slice text, uint16_t *out_port)
{
    if (text.len == 0 || text.len > 5)
        return false;
    uint32_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (port == 0 || port > 65535)
        return false;
    *out_port = (uint16_t)port;
    return true;
}

/* What may stand in a host name or an IPv4 address. */
static bool name_is_plausible(const char *host)
{
    for (const char *at = host; *at != '\0'; at++) {
        bool alnum =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (!alnum && *at != '.' && *at != '-' && *at != '_')
            return false;
    }
    return true;
}

static rmq_status bad_address(rmq_slice text, const char *why, rmq_error *err)
{
    return rmq_error_set(err, RMQ_INVAL, "address \"%.*s\": %s (expected host:port or [v6]:port)",
                         text.len > 128 ? 128 : (int)text.len, text.data, why);
}

rmq_status rmq_address_parse(rmq_slice text, rmq_address *out_address, rmq_error *err)
{
    const char *colon = text.len > 0 ? memrchr(text.data, ':', text.len) : NULL;
    if (colon == NULL)
        return bad_address(text, "no port", err);
    rmq_slice host = {text.data, (size_t)(colon - text.data)};
    rmq_slice port = {colon + 1, text.len - host.len - 1};
    rmq_address address;
    memset(&address, 0, sizeof(address));
    bool bracketed = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    if (bracketed) {
        host.data++;
        host.len -= 2;
    }
    if (host.len == 0 || host.len >= sizeof(address.host))
        return bad_address(text, "no host", err);
    memcpy(address.host, host.data, host.len);
    if (strlen(address.host) != host.len)
        return bad_address(text, "a zero byte", err);
    int ip_version = rmq_address_ip_version(address.host);
    if (bracketed ? ip_version != 6 : ip_version == 0 && !name_is_plausible(address.host))
        return bad_address(text, "not a host", err);
    if (!parse_port(port, &address.port))
        return bad_address(text, "not a port", err);
    *out_address = address;
    return RMQ_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static rmq_slice trim(rmq_slice text)
{
    while (text.len > 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

static bool contains(const rmq_address *addresses, size_t count, const rmq_address *address)
{
    for (size_t i = 0; i < count; i++) {
        if (addresses[i].port == address->port && strcmp(addresses[i].host, address->host) == 0)
            return true;
    }
    return false;
}

rmq_status rmq_address_list_parse(const char *text, rmq_address **out_addresses, size_t *out_count,
                                  rmq_error *err)
{
    size_t capacity = 1;
    for (const char *at = text; *at != '\0'; at++)
        capacity += *at == ';' || *at == ',';
    rmq_address *addresses = rmq_calloc(capacity, sizeof(*addresses));
    if (addresses == NULL)
        return rmq_error_set(err, RMQ_NOMEM, "no memory for %zu addresses", capacity);
    size_t count = 0;
    const char *at = text;
    while (*at != '\0') {
        size_t len = strcspn(at, ";,");
        rmq_slice part = trim((rmq_slice){at, len});
        at += len + (at[len] != '\0');
        if (part.len == 0)
            continue;
        rmq_status status = rmq_address_parse(part, &addresses[count], err);
        if (status != RMQ_OK) {
            rmq_free(addresses);
            return status;
        }
        if (!contains(addresses, count, &addresses[count]))
            count++;
    }
    if (count == 0) {
        rmq_free(addresses);
        return rmq_error_set(err, RMQ_INVAL, "no address in \"%.128s\"", text);
    }
    *out_addresses = addresses;
    *out_count = count;
    return RMQ_OK;
}

void rmq_address_format(const rmq_address *address, char out_text[RMQ_ADDRESS_MAX_BYTES])
{
    const char *format = strchr(address->host, ':') != NULL ? "[%s]:%u" : "%s:%u";
    snprintf(out_text, RMQ_ADDRESS_MAX_BYTES, format, address->host, address->port);
}
