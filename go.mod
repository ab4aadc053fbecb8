module github.com/nexobroker/nexo

go 1.26
