#include "policy.h"

#include <string.h>

static unsigned width(const union address *address)
{
	return address->sa.sa_family == AF_INET ? 32 : 128;
}

static bool bit(const union address *address, unsigned index)
{
	const uint8_t *bytes = address_bytes(address);

	return bytes[index / 8] >> (7 - index % 8) & 1;
}

static int parse_prefix(const char *text, unsigned max, unsigned *ret_prefix)
{
	unsigned prefix = 0;

	if (!*text || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		prefix = prefix * 10 + (unsigned)(*text - '0');
	}
	if (prefix > max)
		return -EINVAL;
	*ret_prefix = prefix;
	return 0;
}

/*
 * "::ffff:10.0.0.0/104" is 10.0.0.0/8, as its addresses are taken for IPv4; but ::/0 and the like
 * stay what they are.
 */
static int parse_rule(struct policy_rule *ret_rule, const char *cidr)
{
	struct policy_rule rule = { 0 };
	const char *slash = strchr(cidr, '/');
	char text[ADDRESS_SIZE];
	size_t size = slash ? (size_t)(slash - cidr) : strlen(cidr);
	bool is_mapped;
	unsigned prefix;

	if (size >= sizeof(text) || memchr(cidr, '%', size))
		return -EINVAL;
	memcpy(text, cidr, size);
	text[size] = '\0';
	if (address_parse(&rule.network, text) < 0)
		return -EINVAL;
	is_mapped = rule.network.sa.sa_family == AF_INET && strchr(text, ':');
	prefix = is_mapped ? 128 : width(&rule.network);
	if (slash && parse_prefix(slash + 1, prefix, &prefix) < 0)
		return -EINVAL;
	if (is_mapped && prefix < 96)
		return -EINVAL;
	rule.prefix = is_mapped ? prefix - 96 : prefix;
	for (unsigned i = rule.prefix; i < width(&rule.network); i++)
		if (bit(&rule.network, i))
			return -EINVAL;
	*ret_rule = rule;
	return 0;
}

int policy_add(struct policy *policy, const char *cidr, bool allows)
{
	struct policy_rule rule, *rules;
	int r = parse_rule(&rule, cidr);

	if (r < 0)
		return r;
	rule.allows = allows;
	rules = reallocarray(policy->rules, policy->n_rules + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	rules[policy->n_rules++] = rule;
	policy->rules = rules;
	return 0;
}

void policy_deinit(struct policy *policy)
{
	free(policy->rules);
	*policy = (struct policy){ 0 };
}

static bool matches(const struct policy_rule *rule, const union address *address)
{
	if (rule->network.sa.sa_family != address->sa.sa_family)
		return false;
	for (unsigned i = 0; i < rule->prefix; i++)
		if (bit(&rule->network, i) != bit(address, i))
			return false;
	return true;
}

bool policy_allows(const struct policy *policy, const union address *address, bool is_local,
		   bool is_trusted)
{
	const struct policy_rule *decisive = NULL;

	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct policy_rule *rule = &policy->rules[i];

		if (!matches(rule, address))
			continue;
		if (!decisive || rule->prefix > decisive->prefix ||
		    (rule->prefix == decisive->prefix && !rule->allows))
			decisive = rule;
	}
	return decisive ? decisive->allows : is_local || is_trusted;
}
