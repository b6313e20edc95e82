"""What a search answers, read from Milvus's own message."""

from pymilvus.grpc_gen import schema_pb2

from services.stores.milvus.searching import neighbors_in


def test_columns_without_a_kind_are_those_of_no_hit() -> None:
    """A server that finds nothing names the columns that were asked for, and puts nothing into them."""
    column = schema_pb2.FieldData(field_name="x_min", scalars=schema_pb2.ScalarField())
    results = schema_pb2.SearchResultData(num_queries=2, topks=[0, 0], fields_data=[column])
    assert list(neighbors_in(results)) == [[], []]
