#include "outcome.h"

#include "calls.h"

/* What errors may say of a port. */
static const struct field about_fields[] = {
	ROW_STRING(struct portscan_error, host),
	ROW_PORT_OR_NULL(struct portscan_error, port),
	ROW_ENUM(struct portscan_error, status, status_names, 0),
	ROW_ENUM(struct portscan_error, reason, reason_names, 0),
	ROW_END,
};

void outcome_deinit(struct outcome *outcome)
{
	json_decref(outcome->message);
	free(outcome->members);
	free(outcome->text);
	*outcome = (struct outcome){ 0 };
}

static int set_error(struct outcome *outcome, const json_t *json)
{
	struct answer_error error;
	struct error ignored = { 0 };

	answer_error_unpack(&error, json);
	outcome->members = answer_error_members(&error);
	if (!outcome->members)
		return -ENOMEM;
	/* Members of these names that mean something else are only not told in this way. */
	if (schema_decode(about_fields, error.data, DECODE_RESULT, &outcome->error, &ignored) < 0)
		outcome->error = (struct portscan_error){ 0 };
	error_deinit(&ignored);
	outcome->error.code = (int)error.code;
	outcome->error.name = error.name;
	outcome->error.message = error.message;
	outcome->error.members = outcome->members;
	outcome->is_error = true;
	return 0;
}

int outcome_set(struct outcome *outcome, json_t *message, const struct answer *answer)
{
	outcome_deinit(outcome);
	outcome->message = json_incref(message);
	outcome->result = answer->result;
	return answer->error ? set_error(outcome, answer->error) : 0;
}

int outcome_set_error(struct outcome *outcome, const struct error *error)
{
	_cleanup_(buffer_deinit) struct buffer text = { 0 };
	struct envelope envelope = { .dialect = DIALECT_JSONRPC };
	struct error ignored = { 0 };
	struct answer answer;
	json_t *message;
	int r;

	r = message_put_error(&text, &envelope, true, error);
	if (r >= 0)
		r = message_parse(&message, buffer_data(&text), buffer_size(&text), &ignored);
	error_deinit(&ignored);
	if (r < 0)
		return r;
	r = answer_unpack(&answer, message);
	if (r >= 0)
		r = outcome_set(outcome, message, &answer);
	json_decref(message);
	return r;
}
